"""What `doctor` looks at in a record behind Supabase's REST API: whether it answers, and what it says of itself.

REST shows functions and nothing below them: indexes, permissions and the clock are looked at over a direct address.
"""

from __future__ import annotations

from memory_pipelines.domain.diagnosis import Check, Examination, error, ok, warning
from memory_pipelines.domain.errors import MemoryPipelinesError
from memory_pipelines.stores.postgres.rpc_transport import RpcTransport
from memory_pipelines.stores.postgres.store import PostgresRecord

_FIXES = {
    "schema_outdated": "Run `memory-pipelines migrate` with MEMORY_DATABASE_URL set.",
    "wrong_key": "Set MEMORY_SUPABASE_KEY to the project's secret key.",
    "permission_denied": "Set MEMORY_SUPABASE_KEY to this project's secret key.",
}


class RpcExaminer:
    """`ports.Examiner` of a record that is reached over REST.

    Args:
        url, key: see `RpcTransport`.
    """

    def __init__(self, url: str, key: str) -> None:
        self._url, self._key = url, key

    def examine(self) -> Examination:
        """Ask the record what it is, and what was settled."""
        try:
            record = PostgresRecord(RpcTransport(self._url, self._key))
            try:
                said, status = record.health(), record.status(30.0)
            finally:
                record.close()
        except MemoryPipelinesError as failure:
            fix = _FIXES.get(failure.code, "Correct MEMORY_SUPABASE_URL, or see the project's status.")
            return Examination((error("postgres.connection", failure.message, fix),))
        checks: list[Check] = [
            ok("postgres.server", f"Postgres {said['version']} over REST"),
            warning(
                "postgres.schema",
                "indexes, permissions and the clock cannot be seen over REST",
                "Set MEMORY_DATABASE_URL for this command to have them looked at.",
            ),
        ]
        return Examination(tuple(checks), {"generation": said["generation"], "settled_marker": status["settled_marker"]})
