#!/bin/sh
# MLflow reads its authentication options from a file, which holds the database password.
set -eu
umask 077
cat >/tmp/auth.ini <<INI
[mlflow]
default_permission = NO_PERMISSIONS
database_uri = ${MLFLOW_BACKEND_STORE_URI}
admin_username = admin
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
auth_cache_ttl_seconds = 300
INI
# Allow requests of pages from the addresses of this server.
MLFLOW_SERVER_CORS_ALLOWED_ORIGINS=$(echo "$MLFLOW_SERVER_ALLOWED_HOSTS" |
  sed 's#[^,][^,]*#http://&,https://&#g')
export MLFLOW_SERVER_CORS_ALLOWED_ORIGINS
export MLFLOW_AUTH_CONFIG_PATH=/tmp/auth.ini
exec mlflow server --app-name intent --host 0.0.0.0 --port 5000 --workers 2
