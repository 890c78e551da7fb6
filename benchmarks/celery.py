"""A partitioned rebuild of 100,000 memories: by one process, and as Celery tasks on one and two workers.

Everything is real: the embedded engines, Dagster's history in the embedded Postgres, `CeleryRunLauncher` with the embedded Redis as broker,
workers as processes of their own, all configured by `deploy/dagster.celery.yaml` and `deploy/celery/`. Workers are warm (they have done a
run before), and a time is from the creation of the first of the runs to the end of the last, as Dagster's history says.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks import ground
from memory_pipelines import embedded, wiring
from memory_pipelines.config import Settings, load
from memory_pipelines.services.audit import audit
from memory_pipelines.services.platform import Platform
from memory_pipelines.services.sync import sync
from memory_pipelines.services.transfer import transfer
from tests import celery_runs

SHARDS = [f"{shard:02d}" for shard in range(16)]
MODES = {"one process": None, "Celery, one worker": ("one", 1), "Celery, two workers": ("two", 2)}  # queue, workers
WORKLOADS = {"embeddings": ("embeddings",), "graph": ("graph",), "both at once": ("embeddings", "graph")}
LIMIT_SECONDS = 900.0
_POLL_SECONDS = 0.2
_SPACES = 10  # namespaces; an entity belongs to one
_KINDS = (("Person", 1, 0), ("Works", 7, 3), ("Town", 13, 5))


def run(out: Path | None, rounds: int = 3, memories: int = 100_000) -> None:
    """Fill the stores, rebuild them `rounds` times in each way, audit after each, and show each way's median.

    Raises:
        SystemExit: an audit found differences, or a run failed.
    """
    home = Path(tempfile.mkdtemp(prefix="mp-bench-"))
    try:
        embedded.up(home)
        settings = load(home=home, extractor="none")  # the links are given: three entities a memory and no more
        with _environment(settings):
            rows = _measure(settings, rounds, memories)
        ground.show(f"Rebuild of {memories:,} memories in {len(SHARDS)} runs, median of {rounds} rounds", rows, out)
    finally:
        embedded.down(home)
        shutil.rmtree(home, ignore_errors=True)


def _measure(settings: Settings, rounds: int, memories: int) -> list[dict[str, Any]]:
    platform = wiring.open_platform(settings)
    try:
        filled, result = ground.seconds(lambda: _fill(platform, settings.home_path, memories))
        print(f"Filled in {filled:.0f} s: {result}", flush=True)
        took: dict[str, dict[str, list[float]]] = {what: {mode: [] for mode in MODES} for what in WORKLOADS}
        with _workers(settings.home_path):
            for number in range(rounds):
                for what, projections in WORKLOADS.items():
                    # The modes of one workload follow each other, in the other order every second time: what else runs here may change.
                    for mode in list(MODES)[:: -1 if number % 2 else 1]:
                        took[what][mode].append(_rebuild(projections, MODES[mode]))
                        print(f"{mode}, {what}: {took[what][mode][-1]:.1f} s", flush=True)
                        _audited(platform)
    finally:
        platform.close()
    rows = []
    for what, modes in took.items():
        middle = {mode: sorted(times)[len(times) // 2] for mode, times in modes.items()}
        ratios = [one / two for one, two in zip(modes["one process"], modes["Celery, two workers"], strict=True)]
        seconds = {f"{mode}, s": taken for mode, taken in middle.items()}
        rows.append({"what": what, **seconds, "two workers, times as fast as one process": sorted(ratios)[len(ratios) // 2]})
    return rows


def _fill(platform: Platform, home: Path, memories: int) -> str:
    """Memories with three given entities each, from a tenth as many, drained into every projection."""
    platform.record.health()
    platform.graph.prepare()
    file, each = home / "memories.jsonl", max(memories // (10 * _SPACES * len(_KINDS)), 3)
    with file.open("w") as lines:
        for number in range(memories):
            names = [f"{kind} {(number // _SPACES * step + shift) % each}" for kind, step, shift in _KINDS]
            text = f"{names[0]} met somebody of {names[1]} in {names[2]}, and they spoke of engine {number}."
            entities = [{"name": name, "type": kind} for name, kind in zip(names, ("person", "organisation", "place"), strict=True)]
            lines.write(json.dumps({"text": text, "namespace": f"user-{number % _SPACES}", "entities": entities}) + "\n")
    imported = transfer.import_file(platform, file).imported
    done = sync.drain_all(platform)
    _audited(platform)
    return f"{imported:,} memories; " + ", ".join(f"{result.projection} {result.done:,} rows in {result.seconds:.1f} s" for result in done)


def _audited(platform: Platform) -> None:
    verdict = audit.audit(platform, deep=False)
    if not verdict.clean or verdict.pending:
        raise SystemExit(f"The quick audit found differences: {verdict.kinds()}, {verdict.pending} pending.")


def _rebuild(projections: Sequence[str], celery: tuple[str, int] | None, shards: Sequence[str] = SHARDS) -> float:
    """Seconds from the creation of the first run to the end of the last."""
    import dagster as dg

    with dg.DagsterInstance.get() as instance:
        known = {run.run_id for run in instance.get_runs()}
        if celery is None:
            _here(instance, projections)
        else:
            with ThreadPoolExecutor(len(projections)) as pool:
                list(pool.map(lambda projection: celery_runs.launch(projection, shards, queue=celery[0]), projections))
            _until_ended(instance, len(known) + len(projections) * len(shards))
        records = [record for record in instance.get_run_records() if record.dagster_run.run_id not in known]
        failed = [record.dagster_run.run_id for record in records if record.dagster_run.status is not dg.DagsterRunStatus.SUCCESS]
        if failed:
            raise SystemExit(f"{len(failed)} of {len(records)} runs did not succeed: {failed[0]}")
        return max(record.end_time or 0.0 for record in records) - min(record.create_timestamp.timestamp() for record in records)


def _here(instance: Any, projections: Sequence[str]) -> None:
    from memory_pipelines.definitions import defs

    for projection in projections:
        job = defs.resolve_job_def(f"rebuild_{projection}")
        for shard in SHARDS:
            quiet = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}
            job.execute_in_process(instance=instance, partition_key=shard, run_config=quiet)


def _until_ended(instance: Any, runs: int) -> None:
    """Wait until there are `runs` runs, and all have ended."""
    end = time.monotonic() + LIMIT_SECONDS
    while len(found := instance.get_runs()) < runs or not all(run.is_finished for run in found):
        if time.monotonic() > end:
            raise SystemExit(f"After {LIMIT_SECONDS:.0f} s: {sum(run.is_finished for run in found)} of {runs} runs have ended.")
        time.sleep(_POLL_SECONDS)


@contextmanager
def _workers(home: Path) -> Iterator[None]:
    """The workers of each mode on a queue of its own, each of one process that runs one run at a time, and warm."""
    with ExitStack() as running:
        for celery in filter(None, MODES.values()):
            queue, count = celery
            running.enter_context(celery_runs.workers(count, home, queue=queue))
            _rebuild(("embeddings",), celery, SHARDS[: 4 * count])  # each has loaded the model and opened every store
        yield


@contextmanager
def _environment(settings: Settings) -> Iterator[None]:
    """What the webserver, the daemon and the workers of one deployment share, in this process and its children."""
    before = dict(os.environ)
    os.environ.update(celery_runs.environment(settings), MEMORY_EXTRACTOR="none")
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
