#!/usr/bin/env bash
# Usage: WEBHOOK_SECRET=whsec_... verify_webhook.sh ID TIMESTAMP SIGNATURES < BODY
# Exit code 0: the message is signed with the secret and not older than five minutes.
# openssl gets the key as an argument, which other users of the machine can see while it runs.
set -euo pipefail

id=$1 sent_at=$2 signatures=$3
age=$(($(date +%s) - sent_at))
if ((age > 300 || age < -300)); then
    echo "The message is older than five minutes, or a clock is wrong." >&2
    exit 1
fi

key=$(printf '%s' "${WEBHOOK_SECRET#whsec_}" | openssl base64 -d -A | od -An -v -tx1 | tr -d ' \n')
expected=$({ printf '%s.%s.' "$id" "$sent_at"; cat; } |
    openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary | openssl base64 -A)

for signature in $signatures; do
    if [[ $signature == "v1,$expected" ]]; then
        exit 0
    fi
done
echo "The signature is wrong." >&2
exit 1
