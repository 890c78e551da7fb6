"""A run launcher for a code location that runs somewhere else: Dagster's own, which can also tell that a run's process is gone.

Named in `deploy/dagster.yaml`. Runs are started by the code server, in processes of its own; a run that dies is reported by that server.
When the server itself goes down, nobody reports its runs: they would stay "started" and hold their places in the queue. So run monitoring
asks the server whether it knows the run. For one machine and short lag there is `launcher.py`.
"""

import dagster as dg
from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, WorkerStatus
from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult
from dagster._serdes import deserialize_value


class CodeServerRunLauncher(DefaultRunLauncher):
    """Dagster's default launcher, whose run monitoring notices what went down with the code server."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        """So that run monitoring asks."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Does the server that was asked to execute the run still have it?

        Raises:
            dagster.DagsterUserCodeUnreachableError: the server does not answer. Dagster logs it and asks again at the next look: a run is
                called lost only by a server that is there and does not know it.
        """
        client = self._get_grpc_client_for_termination(run.run_id)  # type: ignore[no-untyped-call]  # Dagster's
        if client is None:  # ended meanwhile, or not started by us
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        answer = deserialize_value(client.can_cancel_execution(CanCancelExecutionRequest(run_id=run.run_id)), CanCancelExecutionResult)
        if answer.can_cancel:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "The code server does not have this run: it was restarted since.")
