"""Run configuration, typed and described: what a person may change in the launchpad. Never an address or a secret."""

import dagster as dg
from pydantic import Field


class DrainConfig(dg.Config):
    """How long a drain stays."""

    quiet_seconds: float = Field(
        default=1.0, ge=0, le=300, description="End when nothing was owed for so long. While a drain stays, changes show within a batch."
    )
    max_seconds: float | None = Field(
        default=None, description="End after so long even under steady load; the queue sensor then starts the next one."
    )
    wait_seconds: float = Field(
        default=60.0, ge=0, le=3600, description="While another drain holds the projection, wait so long before leaving the work to it."
    )


class AuditConfig(dg.Config):
    """How to look, and whether to mend."""

    deep: bool = Field(
        default=False, description="Compare every property and edge, instead of trusting stored digests. Also finds edited rows."
    )
    repair: bool = Field(default=False, description="Owe again what differs, drain it, and audit once more.")


class HistoryConfig(dg.Config):
    """How much of Dagster's own history is kept. What is older *or* beyond the count goes; failed runs stay."""

    keep_days: float = Field(default=14.0, ge=0, description="Days that a successful run is kept.")
    keep_runs: int = Field(default=3000, ge=1, description="How many successful runs are kept at most, the newest ones.")


class DeadLettersConfig(dg.Config):
    """What to try again. With neither names nor a projection: all that nobody dropped."""

    names: list[str] = Field(default=[], description="Some by name, as `memory-pipelines dead list` and the table of a run show them.")
    projection: str | None = Field(default=None, description="Instead of names: all of this one: entities, embeddings or graph.")
    accept_empty: bool = Field(default=False, description="Let an extraction that finds nothing replace what the same text gave before.")
