"""Repair by plan: whether one is wanted, decided by level from the newest stored verdict; and the job that applies it.

Must stay out: making and applying plans (`services.repair`).
"""

import time
from collections.abc import Mapping, Sequence
from json import dumps, loads
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg

from memory_pipelines.assets import failures, metadata, questions, tags
from memory_pipelines.domain.plans import RepairPlan, read_plan
from memory_pipelines.resources.configuration import RepairConfig
from memory_pipelines.resources.platform import PlatformResource
from memory_pipelines.services.audit import audit
from memory_pipelines.services.repair import repair as service

GRACE_SECONDS = 900.0
DEAD_LETTERS = {"parked", "given_up"}  # tried again by itself, what is parked would fail again, and cost again, after every audit


class Decision(NamedTuple):
    """`cursor` is the sensor's memo: which verdict it has requested a repair for, and when. `alert`: a person has to look."""

    wanted: bool
    reason: str
    cursor: str | None
    alert: bool = False


def decide(history: Sequence[Mapping[str, Any]], cursor: str | None, *, bound: int = 1000, now: float | None = None) -> Decision:
    """Is the newest verdict unclean, has nobody tried to repair it, and is it little enough to be repaired without a person?

    A verdict that is unclean *after* a repair is left to a person; the next audit decides anew. A requested repair that died before it
    stored a verdict is requested again after a grace.

    Args:
        history: stored verdicts, newest first.
        bound: most findings that are repaired without being asked for.
    """
    now = time.time() if now is None else now
    if not history:
        return Decision(False, "There has been no audit yet.", cursor)
    newest = history[0]
    at, found = str(newest["at"]), sum(newest.get("kinds", {}).values())
    if newest["clean"]:
        return Decision(False, f"The newest verdict ({at}) is clean.", cursor)
    if newest.get("repaired"):
        return Decision(False, f"The newest verdict ({at}) is unclean even after a repair: somebody should look.", cursor, alert=True)
    if set(newest.get("kinds", {})) <= DEAD_LETTERS:
        return Decision(
            False, f"The newest verdict ({at}) names only dead letters, which are for a person: `memory-pipelines dead list`.", cursor
        )
    if found > bound:
        reason = f"The newest verdict ({at}) has {found} findings, more than MEMORY_REPAIR_BOUND ({bound}): somebody should look first."
        return Decision(False, reason, cursor, alert=True)
    memo = loads(cursor) if cursor else {}
    if memo.get("verdict") == at and now - memo["requested_at"] < GRACE_SECONDS:
        return Decision(False, f"A repair of the verdict of {at} was requested {now - memo['requested_at']:.0f} s ago.", cursor)
    return Decision(True, f"The newest verdict ({at}) is unclean.", dumps({"verdict": at, "requested_at": now}))


def request(plan: RepairPlan, reason: str) -> dg.RunRequest:
    """A run of `repair` with the plan as its configuration: ids and numbers, no word of a text."""
    config = RepairConfig(plan=loads(plan.as_text()))
    return dg.RunRequest(run_config=dg.RunConfig(ops={"apply_plan": config}), tags={tags.WHY: reason})


def planned(config: RepairConfig, platform: PlatformResource) -> RepairPlan:
    """The plan of the configuration, of a file, or a new one."""
    if config.plan is not None:
        return read_plan(dumps(config.plan))
    if config.path is not None:
        return read_plan(Path(config.path).read_bytes())
    return service.plan(platform.get(), audit.audit(platform.get(), deep=config.deep))


@dg.op(
    description="Apply a repair plan, drain what it owes, and audit the rows that it touched. Fails when one still differs."
    " Turns those checks of the audit green of which every row was proved to be in step.",
    out=dg.Out(dg.Nothing),
    pool=tags.pool("repair"),
)
def apply_plan(context: dg.OpExecutionContext, config: RepairConfig, platform: PlatformResource) -> None:
    """Without a plan it audits and makes one. What became of each row is in the metadata."""
    with failures.explained():
        plan = planned(config, platform)
        result = service.apply(platform.get(), plan)
    shown = metadata.repaired(plan, result)
    planned_rows = "; ".join(f"{line.what} ({line.why}) {line.rows}" for line in plan.summary) or "nothing to do"
    outcomes = ", ".join(f"{name} {count}" for name, count in result.outcomes.items()) or "nothing was changed"
    context.log.info("Plan: %s. Outcome: %s; %d touched rows were checked.", planned_rows, outcomes, result.checked)
    context.log_event(dg.AssetObservation("consistency_audit", description=f"Repair by plan: {outcomes}.", metadata=shown))
    for evaluation in questions.proved(platform.get(), context.instance):
        context.log_event(evaluation)  # type: ignore[arg-type]  # taken, though the annotation forgets it
    if not result.clean:
        raise dg.Failure(f"{len(result.findings)} touched rows still differ, {result.pending} are on their way.", metadata=shown)
    context.add_output_metadata(shown)


@dg.job(
    name="repair",
    executor_def=dg.in_process_executor,
    tags=tags.of("repair"),
    description="Apply a repair plan, and prove that what it touched is in step.",
)
def repair_job() -> None:
    """See `apply_plan`."""
    apply_plan()
