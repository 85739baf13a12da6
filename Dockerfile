# One image for every service of ours: Airflow, MLflow and the steps share one locked environment.
# Digest of the multi-platform index of that tag; the Python version is the one the tests run on.
ARG PYTHON=python:3.11.13-slim-bookworm@sha256:86adf8dbadc3d6e82ee5dd2c74bec2e1c2467cdad47886280501df722372d2e1

FROM ${PYTHON} AS build
WORKDIR /src
RUN python -m venv /opt/venv
COPY requirements-bootstrap.lock requirements.lock ./
RUN /opt/venv/bin/pip install --no-cache-dir --require-hashes -r requirements-bootstrap.lock \
 && VIRTUAL_ENV=/opt/venv /opt/venv/bin/uv pip install --no-cache --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY intent_tasks intent_tasks
COPY expectations expectations
RUN VIRTUAL_ENV=/opt/venv /opt/venv/bin/uv pip install --no-cache --no-deps --no-build-isolation .

FROM ${PYTHON}
# LightGBM's only need that is not in its wheel.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends libgomp1 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --create-home --home-dir /opt/airflow intent \
 && install --directory --owner intent --mode 0700 \
      /opt/airflow/logs /var/lib/intent /var/lib/mlflow
COPY --from=build /opt/venv /opt/venv
COPY dags /opt/intent/dags
COPY plugins /opt/intent/plugins
COPY docker /opt/intent/docker
ENV PATH=/opt/venv/bin:$PATH \
    AIRFLOW_HOME=/opt/airflow \
    AIRFLOW__CORE__DAGS_FOLDER=/opt/intent/dags \
    AIRFLOW__CORE__PLUGINS_FOLDER=/opt/intent/plugins \
    AIRFLOW__CORE__LOAD_EXAMPLES=false \
    AIRFLOW__USAGE_DATA_COLLECTION__ENABLED=false \
    GX_ANALYTICS_ENABLED=False \
    INTENT_HOME=/var/lib/intent \
    MLFLOW_DISABLE_TELEMETRY=true \
    PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /opt/airflow
