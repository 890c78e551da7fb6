# syntax=docker/dockerfile:1
# The platform with Dagster: `docker compose build`. Everything in it is named in deploy/requirements.lock, with hashes.

FROM python:3.12.12-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
RUN python -m venv /opt/memory
# The lock first: a change in the code leaves this layer as it is. Wheels only, since a source archive would fetch build tools of its own;
# and no dependencies beside the lock, which names them all: pip would look for those that are asked for with an extra once more, unpinned.
COPY deploy/requirements.lock ./
RUN /opt/memory/bin/pip install --require-hashes --no-deps --only-binary :all: --requirement requirements.lock \
 && /opt/memory/bin/pip check
COPY pyproject.toml README.md LICENSE ./
COPY memory_pipelines memory_pipelines
COPY assets assets
COPY resources resources
RUN /opt/memory/bin/pip install --no-deps --no-build-isolation . \
 && /opt/memory/bin/pip uninstall --yes hatchling uv

FROM python:3.12.12-slim-bookworm
RUN useradd --uid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin memory \
 && install --directory --owner memory --group memory /data
COPY --from=build /opt/memory /opt/memory
WORKDIR /app
COPY deploy/entrypoint deploy/keys.py deploy/workspace.yaml deploy/
COPY deploy/dagster.yaml dagster/dagster.yaml
ENV PATH=/opt/memory/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 DAGSTER_HOME=/app/dagster MEMORY_HOME=/data/memory
VOLUME /data
USER memory
# Ends by handing itself over to the command, which is then the one that signals reach.
ENTRYPOINT ["/app/deploy/entrypoint"]
CMD ["memory-pipelines", "--help"]
