#!/bin/sh
# Backups of the database and the bucket, by `bulkhead backup` (docs/backup.md).
#
#   backup.sh once           one backup now
#   backup.sh every SECONDS  one now and one after each period, until it is stopped
#   backup.sh check SECONDS  whether the last one is at most two periods old
set -eu

to=${BACKUP_TO:?a folder, or s3://BUCKET/PREFIX}
mark=${BACKUP_MARK:-/tmp/last-backup}

once() {
    bulkhead backup "$to" --keep "${BACKUP_KEEP:-14}"
    : >"$mark"
}

case ${1:-} in
once)
    once
    ;;
every)
    trap 'exit 0' TERM INT
    while :; do
        # A backup that fails is tried again soon; the health check tells if none succeeds.
        if (once); then pause=$2; else pause=300; fi
        sleep "$pause" &
        wait $!
    done
    ;;
check)
    [ -e "$mark" ] || { echo "no backup was made since this container started" >&2; exit 1; }
    minutes=$(($2 * 2 / 60 + 1))
    [ -n "$(find "$mark" -mmin "-$minutes")" ] || { echo "the last backup is old" >&2; exit 1; }
    ;;
*)
    echo "usage: backup.sh once | every SECONDS | check SECONDS" >&2
    exit 2
    ;;
esac
