"""The only modules that talk to the outside: Postgres, snapshots, the model registry."""
