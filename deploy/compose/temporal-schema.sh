#!/bin/sh
# Creates Temporal's tables, or brings them to the version of these tools. Safe to repeat; run it before a newer server.
set -eu

SQL_PASSWORD=$(cat "$PASSWORD_FILE")
export SQL_PASSWORD

bring_up_to_date() { # bring_up_to_date DATABASE FOLDER
    set -- "--plugin $SQL_PLUGIN --ep $SQL_HOST -p $SQL_PORT -u $SQL_USER --db $1" "$2"
    # shellcheck disable=SC2086 # several arguments
    temporal-sql-tool $1 setup-schema -v 0.0
    # shellcheck disable=SC2086
    temporal-sql-tool $1 update-schema -d "/etc/temporal/schema/postgresql/v12/$2/versioned"
}

bring_up_to_date temporal temporal
bring_up_to_date temporal_visibility visibility
