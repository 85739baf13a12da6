#!/bin/sh
# A worker of Airflow, and beside it the server that its steps are forked from, started again
# whenever it ends.
set -eu
while true; do
  python -m intent_tasks.fork_server || true
  sleep 1
done &
exec airflow celery worker
