"""Settings of the Celery workers: `dagster_celery.app` imports this module by its name when it is on the path.

    PYTHONPATH=deploy/celery celery -A dagster_celery.app worker --queues dagster --concurrency 1 --hostname first@%h

The same broker as in `deploy/dagster.celery.yaml`, from the same variable. `dagster-celery worker start -y FILE` would do as well, but
writes the address into a file, its password included. Must stay out: what a run does.
"""

import os

broker_url = os.environ["DAGSTER_CELERY_BROKER"]
result_backend = broker_url
broker_transport_options = {"visibility_timeout": 43200}  # seconds; as in deploy/dagster.celery.yaml
broker_connection_retry_on_startup = True
worker_prefetch_multiplier = 1  # a run that waits behind another one on a busy worker would wait for nothing
imports = ("memory_pipelines.definitions",)  # before the worker forks, so that no run pays for it
