# One image for the relay, the worker, the web app and the migration; docker-compose.yml says which of them it is.
FROM python:3.11-slim

ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app

COPY requirements.txt ./
RUN pip install --compile --require-hashes -r requirements.txt

COPY pyproject.toml ./
COPY pipeline pipeline
COPY web web
COPY lambda lambda
COPY sql sql
COPY expectations expectations
RUN pip install --no-deps --no-build-isolation -e . \
    && python -m compileall -q pipeline web lambda \
    && useradd --system --home-dir /var/lib/bulkhead --create-home bulkhead

USER bulkhead
ENV BULKHEAD_HOME=/var/lib/bulkhead
VOLUME /var/lib/bulkhead
CMD ["bulkhead", "--help"]
