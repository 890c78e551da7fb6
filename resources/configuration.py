"""Run configuration, typed and described: what a person may change in the launchpad. Never an address or a secret."""

from typing import Any

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


class RebuildConfig(DrainConfig):
    """How long the drain of a rebuilt shard stays: sixteen runs that each linger for a second would be sixteen seconds."""

    quiet_seconds: float = Field(
        default=0.0,
        ge=0,
        le=300,
        description="End when nothing was owed for so long. What is saved meanwhile, the queue sensor sees to.",
    )


class AuditConfig(dg.Config):
    """How to look, and whether to mend."""

    deep: bool = Field(
        default=False, description="Compare every property and edge, instead of trusting stored digests. Also finds edited rows."
    )
    incremental: bool = Field(
        default=False, description="Look only at what was written since the last audit, and at what that one found. Not with `deep`."
    )
    resume: bool = Field(default=False, description="Go on with the deep audit that was interrupted, if there is one.")
    repair: bool = Field(default=False, description="Owe again what differs, drain it, and audit once more.")


class RepairConfig(dg.Config):
    """Which plan to apply. With neither, an audit is run and a plan made of it."""

    plan: dict[str, Any] | None = Field(default=None, description="The plan itself, as `memory-pipelines repair --plan --json` prints it.")
    path: str | None = Field(default=None, description="A file with the plan, where the run can read it.")
    deep: bool = Field(default=True, description="Without a plan: compare every property and edge, instead of trusting stored digests.")


class HistoryConfig(dg.Config):
    """How much of Dagster's own history is kept. What is older *or* beyond the count goes; failed runs stay."""

    keep_days: float = Field(default=14.0, ge=0, description="Days that a successful run is kept.")
    keep_runs: int = Field(default=3000, ge=1, description="How many successful runs are kept at most, the newest ones.")


class DeadLettersConfig(dg.Config):
    """What to try again. With neither names nor a projection: all that nobody dropped."""

    names: list[str] = Field(default=[], description="Some by name, as `memory-pipelines dead list` and the table of a run show them.")
    projection: str | None = Field(default=None, description="Instead of names: all of this one: entities, embeddings or graph.")
    accept_empty: bool = Field(default=False, description="Let an extraction that finds nothing replace what the same text gave before.")
