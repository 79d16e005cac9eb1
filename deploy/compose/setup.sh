#!/bin/sh
# Prepares the folder that this script is in for production.yaml: .env, secrets/, datasets/. Keeps what is there already.
#
#   ./setup.sh bulkhead.example.org files.example.org admin@example.org
set -eu
cd "$(dirname "$0")"

if [ $# -ne 3 ]; then
    echo "usage: $0 DOMAIN FILES_DOMAIN ACME_EMAIL" >&2
    exit 2
fi
command -v openssl >/dev/null || { echo "$0: openssl is not installed; it makes the secrets" >&2; exit 1; }

# The folder is closed to others. The files are readable, since each container mounts single files and runs as another user.
mkdir -p secrets
chmod 0700 secrets
keep() { # keep NAME VALUE
    if [ ! -s "secrets/$1" ]; then
        (umask 0222 && printf '%s' "$2" >"secrets/$1.new" && mv -f "secrets/$1.new" "secrets/$1")
        echo "made secrets/$1"
    fi
}
for name in postgres_password bulkhead_owner_db_password bulkhead_db_password temporal_db_password s3_secret_key relay_token secret_key \
    metrics_token grafana_admin_password; do
    keep "$name" "$(openssl rand -hex 32)"
done
keep database_url "postgresql://bulkhead_app:$(cat secrets/bulkhead_db_password)@postgres:5432/bulkhead"
keep migration_database_url "postgresql://bulkhead_owner:$(cat secrets/bulkhead_owner_db_password)@postgres:5432/bulkhead"
# Not used until COMPOSE_FILE in .env names payload-keys.yaml, too.
keep payload_keys "k1:$(openssl rand -base64 32)"

if [ ! -e .env ]; then
    cat >.env <<ENV
# Read by production.yaml. Other names that it takes: grep -o '\${[A-Z_]*' production.yaml | sort -u
COMPOSE_FILE=production.yaml
# Empty if S3 is elsewhere; then set S3_ENDPOINT, S3_REGION, S3_ACCESS_KEY, BUCKET and CADDYFILE=Caddyfile.external-s3, an empty
# PUBLIC_S3_ENDPOINT, and write the secret key into secrets/s3_secret_key. With monitoring: object-store,monitoring
COMPOSE_PROFILES=object-store
DOMAIN=$1
FILES_DOMAIN=$2
ACME_EMAIL=$3
SECRETS=./secrets
ENV
    echo "made .env"
fi

if [ ! -d datasets ]; then
    mkdir datasets
    cp -R ../../expectations ../../sql datasets/
    echo "made datasets/, with the examples; add your own as docs/extending.md says"
fi
