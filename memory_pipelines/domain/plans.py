"""A repair plan, as it is written to a file and read back: rows, and what each saw. It names ids and numbers, never a word of a text.

To add a field, add it here with a default; a change that older code must not misread is a new `PLAN_VERSION`. Must stay out: making
and applying plans (`services/repair/planning.py`, `services/repair/repair.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from memory_pipelines.domain.errors import InvalidInput
from memory_pipelines.domain.models import Finding, Projection

PLAN_VERSION = 1

Action = Literal["owe", "adopt", "unledger", "leave"]
Change = Literal["edit", "add", "remove"]
Curated = Literal["name", "type", "aliases", "summary"]
Outcome = Literal["owed", "adopted", "held", "unledgered", "settled", "refused", "left"]
LookAt = tuple[str, str, str | None, str | None]  # kind, id, source, target
Number = Annotated[int, Field(ge=0, le=2**53)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class PlannedRow(_Frozen):
    """One subject, what is to be done, and what the plan saw of it.

    Attributes:
        action: `owe` it again, `adopt` an outside edit, `unledger` a ledger row without a subject, or `leave` it to a person (`reason`).
        why: kinds of the findings that it answers.
        revision, version: of the record, None where the record has never had the subject.
        settled_at, number: of the ledger: last settlement, and the number under which it is owed.
        forced, hint: what the drain needs to know, see `ports.record`.
        change, fields, seen: of an adoption: what somebody did, to which fields, and a digest of what the graph showed.
        source, target, source_revision, target_revision: the ends of a relation that is adopted.
        look: what must be equal to the record afterwards.
        tokens: estimate for embedding or extracting again.
    """

    action: Action
    why: tuple[str, ...]
    store: str
    projection: Projection
    kind: str
    id: str
    revision: Number | None = None
    version: Number | None = None
    settled_at: str | None = None
    number: Number | None = None
    forced: Number | None = None
    hint: dict[str, Any] | None = None
    change: Change | None = None
    fields: tuple[Curated, ...] = ()
    seen: str | None = None
    source: str | None = None
    target: str | None = None
    source_revision: Number | None = None
    target_revision: Number | None = None
    reason: str | None = None
    look: tuple[LookAt, ...] = ()
    tokens: Number = 0


class PlannedSum(_Frozen):
    """Rows of one kind, counted. `money` is None where no price is set; both are estimates."""

    what: str
    why: str
    rows: int
    projections: tuple[Projection, ...]
    tokens: int
    money: float | None


class RepairPlan(_Frozen):
    """What a repair would do: `rows`, and `summary` for people. Only for the record of this `identity`."""

    format: Literal["memory-pipelines/repair-plan"] = "memory-pipelines/repair-plan"
    format_version: int = PLAN_VERSION
    identity: str
    made_at: str
    mode: str
    summary: tuple[PlannedSum, ...]
    rows: tuple[PlannedRow, ...]

    @property
    def tokens(self) -> int:
        """Estimate for all rows."""
        return sum(row.tokens for row in self.rows)

    @property
    def money(self) -> float | None:
        """Estimate for all rows; None where a price is not known."""
        sums = [line.money for line in self.summary]
        return None if None in sums else sum(money for money in sums if money is not None)

    @property
    def work(self) -> int:
        """Rows that would be changed: all but those left to a person."""
        return sum(row.action != "leave" for row in self.rows)

    def as_text(self) -> str:
        """The plan as its file."""
        return self.model_dump_json(indent=1, exclude_defaults=False, exclude_none=True) + "\n"


@dataclass(frozen=True, slots=True)
class RepairResult:
    """What became of a plan.

    Attributes:
        outcomes: rows counted by outcome: owed, adopted, held (the record said so already), unledgered, settled (done since the plan
            was made), refused (the record, or the edit, is not what the plan saw), left (to a person).
        rows: each row that was not simply done, with its outcome and reason.
        findings, pending: of the audit of the touched rows; `checked` is how many it looked at.
        clean: whether that audit found every touched row equal to the record, and none on its way.
        cost: what models used.
    """

    outcomes: dict[str, int]
    rows: tuple[dict[str, Any], ...]
    checked: int
    findings: tuple[Finding, ...]
    pending: int
    clean: bool
    seconds: float
    cost: dict[str, float] = field(default_factory=dict)

    @property
    def changed(self) -> int:
        """Rows that were owed, adopted or deleted from the ledger."""
        return sum(self.outcomes.get(name, 0) for name in ("owed", "adopted", "held", "unledgered"))


def read_plan(text: str | bytes) -> RepairPlan:
    """A plan from its file.

    Raises:
        InvalidInput: `plan_invalid` for what is no plan; `plan_version_unknown` for one of another release.
    """
    try:
        head = _Head.model_validate_json(text)
        if head.format_version != PLAN_VERSION:
            raise InvalidInput(
                "plan_version_unknown",
                f"This plan has version {head.format_version}; this release reads {PLAN_VERSION}. Make a new one.",
                {"version": head.format_version, "known": PLAN_VERSION},
            )
        return RepairPlan.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise InvalidInput("plan_invalid", f"This is no repair plan: {where}: {first['msg']}.", {"where": where}) from None


class _Head(BaseModel):
    format: Literal["memory-pipelines/repair-plan"]
    format_version: int


def outcomes_of(rows: Sequence[dict[str, Any]]) -> dict[str, int]:
    """Rows counted by outcome."""
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["outcome"]] = counts.get(row["outcome"], 0) + 1
    return counts
