"""MLflow's server with log-ins, as the app `intent` of `mlflow server --app-name`.

MLflow itself takes every page on this machine, whatever its port, for one of its own.
"""

from fastapi import FastAPI

from intent_tasks.own_address import OwnAddressOnly


def create_app() -> FastAPI:
    """Return the app that answers to MLFLOW_SERVER_ALLOWED_HOSTS and to pages of them."""
    from mlflow.environment_variables import MLFLOW_SERVER_ALLOWED_HOSTS
    from mlflow.server import auth

    app: FastAPI = auth.create_app()
    hosts: str = MLFLOW_SERVER_ALLOWED_HOSTS.get()  # type: ignore[no-untyped-call]
    app.add_middleware(OwnAddressOnly, hosts=hosts.split(","))
    return app
