#!/bin/sh
# Makes the roles and databases of Bulkhead and Temporal in a new PostgreSQL; its image runs this once.
set -eu

owner=$(cat "${SECRETS:-/run/secrets}/bulkhead_owner_db_password")
application=$(cat "${SECRETS:-/run/secrets}/bulkhead_db_password")
temporal=$(cat "${SECRETS:-/run/secrets}/temporal_db_password")

# By stdin: arguments of a process can be seen by others. Both roles of Bulkhead create roles of SQL users, so they need
# CREATEROLE. `bulkhead migrate` runs as the owner and gives the application what it needs (docs/security.md).
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname postgres <<SQL
\\set owner '$owner'
\\set application '$application'
\\set temporal '$temporal'
create role bulkhead_owner login createrole password :'owner';
create role bulkhead_app login createrole password :'application';
grant bulkhead_app to bulkhead_owner;
create role temporal login password :'temporal';
create database bulkhead owner bulkhead_owner;
create database temporal owner temporal;
create database temporal_visibility owner temporal;
revoke connect on database bulkhead, temporal, temporal_visibility from public;
grant connect on database bulkhead to bulkhead_app;
grant set on parameter temp_file_limit, track_activities to bulkhead_app;
SQL
