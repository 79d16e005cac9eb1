#!/bin/sh
# Runs SeaweedFS with an S3 identity and a notification to the relay, both of which contain a secret and are in memory only.
set -eu
umask 0077

cat >/etc/seaweedfs/s3.json <<JSON
{"identities": [{"name": "bulkhead", "actions": ["Admin", "Read", "List", "Tagging", "Write"],
  "credentials": [{"accessKey": "bulkhead", "secretKey": "$(cat "$S3_SECRET_KEY_FILE")"}]}]}
JSON
cat >/etc/seaweedfs/notification.toml <<TOML
[notification.webhook]
enabled = true
endpoint = "http://relay:8766/filer"
bearer_token = "$(cat "$RELAY_TOKEN_FILE")"
event_types = ["create", "update", "rename"]
path_prefixes = ["/buckets"]
TOML
exec weed -logtostderr=true mini -dir=/data -ip=s3 -ip.bind=0.0.0.0 -s3.port=8333 -s3.config=/etc/seaweedfs/s3.json \
    -s3.port.iceberg=0 -s3.port.lance=0 -s3.autoCreateBucket=false -volume.max=0 -master.telemetry=false \
    -admin.ui=false -webdav=false
