"""Tags of runs, to find and to limit them by, and pools of what must not run twice at once.

A drain has no pool: who drains is known by a lease of the record, and a run that was killed would keep its place in a pool until Dagster
notices, while the sync budget runs out. Neither has whatever only reads quickly. A pool without a limit limits nothing; our `dagster.yaml`
gives each one place. To add a pool, name it at its op. Must stay out: what runs.
"""

from memory_pipelines.domain.models import Projection

WHY = "memory/why"  # why a sensor requested the run


def of(what: str, projection: Projection | None = None) -> dict[str, str]:
    """What a run does, and to which projection where it is one."""
    return {"memory/what": what} | ({"memory/projection": projection} if projection else {})


def pool(what: str, projection: Projection | None = None) -> str:
    """The pool of what is done by one run at a time, for each projection where that is named."""
    return "_".join(filter(None, ("memory", what, projection)))
