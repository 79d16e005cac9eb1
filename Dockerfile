# One image for the web app, the worker, the event relay and the migration; its command says which of them it is.
#
#   docker build --build-arg VERSION=0.1.0 --build-arg REVISION="$(git rev-parse HEAD)" -t bulkhead:0.1.0 .
#
# It runs as user 10001 on a read-only root file system. Only /var/lib/bulkhead (a worker's scratch files, the relay's events) and
# /tmp must be writable. Docker finds no secret in it: secrets come from the environment, or from files (NAME_FILE).
# The SBOM of what is installed here: make sbom. With the packages of the base image: docker buildx build --sbom=true ...
# To pin the base by content, too: --build-arg PYTHON_IMAGE=python:3.11.14-slim-bookworm@sha256:...
ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app
RUN python -m venv /opt/bulkhead
COPY requirements.txt ./
RUN /opt/bulkhead/bin/pip install --compile --require-hashes -r requirements.txt
COPY pyproject.toml setup.py requirements.in README.md LICENSE .env.example ./
COPY pipeline pipeline
COPY web web
COPY lambda lambda
COPY sql sql
COPY expectations expectations
RUN /opt/bulkhead/bin/pip install --no-deps --no-build-isolation -e . \
    && /opt/bulkhead/bin/python -m compileall -q pipeline web lambda

FROM ${PYTHON_IMAGE} AS runtime
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Bulkhead" \
      org.opencontainers.image.description="Imports files of hierarchical records into PostgreSQL; every record is loaded, or reported with the reason." \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="docker.io/library/python:3.11.14-slim-bookworm"
RUN groupadd --gid 10001 bulkhead \
    && useradd --uid 10001 --gid bulkhead --home-dir /var/lib/bulkhead --create-home --shell /usr/sbin/nologin bulkhead \
    && chmod 0700 /var/lib/bulkhead
COPY --from=build /opt/bulkhead /opt/bulkhead
COPY --from=build /app /app
WORKDIR /app
ENV PATH=/opt/bulkhead/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/var/lib/bulkhead \
    BULKHEAD_HOME=/var/lib/bulkhead \
    BULKHEAD_BIND=0.0.0.0 \
    BULKHEAD_LOG_FORMAT=json
USER 10001:10001
VOLUME /var/lib/bulkhead
EXPOSE 8765 8766
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 CMD ["python", "-m", "pipeline.local.health_check"]
CMD ["bulkhead", "--help"]
