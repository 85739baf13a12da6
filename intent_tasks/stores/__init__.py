"""The only modules that talk to the outside: Postgres, snapshots, the model registry.

What belongs together is a folder: collecting, extracting, contracts, privacy.
"""
