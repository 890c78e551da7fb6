"""A run launcher that forks run workers from a warm process (`warm.py`) instead of starting each from nothing.

Named in `dagster.yaml`; without it Dagster's own launcher does the same, only slower. For other code locations, and where processes
cannot fork, this one is Dagster's own. It launches on this machine only. It also knows which process a run is, so that run monitoring
can tell that a run was killed, which Dagster's own cannot.
"""

import logging
import os
import signal
import subprocess
import sys
import threading
from typing import Any

import dagster as dg
import psutil
from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, LaunchRunContext, WorkerStatus
from dagster._grpc.types import ExecuteRunArgs

from memory_pipelines.resources.warm import MODULE, STALE, WORKER_TAG, identity

log = logging.getLogger(__name__)


class WarmRunLauncher(DefaultRunLauncher):
    """Dagster's default launcher, with a warm start for the runs of this platform."""

    def __init__(self, inst_data: Any = None) -> None:
        super().__init__(inst_data)
        self._lock = threading.Lock()
        self._warm: subprocess.Popen[str] | None = None

    def launch_run(self, context: LaunchRunContext) -> None:
        """Fork a worker for the run, and note in its tags which process that is."""
        run, origin = context.dagster_run, context.job_code_origin
        worker = None
        if origin is not None and getattr(origin.repository_origin.code_pointer, "module", None) == MODULE and hasattr(os, "fork"):
            worker = self._fork(ExecuteRunArgs(origin, run.run_id, self._instance.get_ref()))
        if worker is None:
            super().launch_run(context)
            return
        self._instance.add_run_tags(run.run_id, {WORKER_TAG: identity(worker)})
        self._run_ids.add(run.run_id)

    def terminate(self, run_id: str) -> bool:
        """Interrupt the worker, as Ctrl-C would."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished or WORKER_TAG not in run.tags:
            return bool(super().terminate(run_id))  # type: ignore[no-untyped-call]  # Dagster's
        self._instance.report_run_canceling(run)
        process = _process(run)
        if process is None:
            return False
        process.send_signal(signal.SIGINT)
        return True

    @property
    def supports_check_run_worker_health(self) -> bool:
        """So that run monitoring asks."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Is the worker's process still there? Of a run that we have not started nothing is known, and it is left alone."""
        if WORKER_TAG not in run.tags or _process(run) is not None:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "The run's process is gone: it was killed, or the machine was restarted.")

    def dispose(self) -> None:
        """End the warm process. Workers go on."""
        with self._lock:
            self._end()
        super().dispose()

    def _fork(self, run: ExecuteRunArgs) -> int | None:
        """The process id of a new worker; None when there is no warm process to be had, which costs seconds and no run."""
        request = run.get_command_args()[-1]
        with self._lock:
            for _ in range(2):
                try:
                    answer = self._ask(request)
                except OSError as error:
                    log.warning("The warm process failed (%s); starting the run worker from nothing.", error)
                    answer = ""
                if answer.isdigit():
                    return int(answer)
                self._end()
                if answer != STALE:
                    return None
        return None

    def _ask(self, request: str) -> str:
        if self._warm is None:
            # The same modules as here.
            serve = f"import sys; sys.path[:] = {sys.path!r}; from memory_pipelines.resources.warm import serve; serve()"
            self._warm = subprocess.Popen(
                [sys.executable, "-c", serve], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
            )
        if self._warm.stdin is None or self._warm.stdout is None:
            raise OSError("no pipes")
        print(request, file=self._warm.stdin, flush=True)
        return self._warm.stdout.readline().strip()

    def _end(self) -> None:
        if self._warm is not None:
            self._warm.communicate()
            self._warm = None


def _process(run: dg.DagsterRun) -> psutil.Process | None:
    """The run's worker, if that very process is alive."""
    try:
        process = psutil.Process(int(run.tags[WORKER_TAG].split("@")[0]))
        alive = identity(process.pid) == run.tags[WORKER_TAG] and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return None
    return process if alive else None
