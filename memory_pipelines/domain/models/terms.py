"""Words that every model uses: projections, subjects, outcomes; and models as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

Projection = Literal["entities", "embeddings", "graph"]
SubjectKind = Literal["memory", "entity", "relation"]
Origin = Literal["given", "extracted"]
Outcome = Literal["created", "updated", "unchanged", "revived", "forgotten"]
Wait = Literal["none", "graph", "all"]

PROJECTIONS: tuple[Projection, ...] = ("entities", "embeddings", "graph")


@dataclass(frozen=True, slots=True)
class Ref:
    """A subject of the ledger: what to look at, never what to write."""

    kind: str
    id: str


def as_json(value: Any) -> Any:
    """Any model of this module as JSON-serialisable data: dataclasses to objects, times to ISO 8601."""
    if isinstance(value, datetime):
        return value.isoformat()
    if hasattr(value, "__dataclass_fields__"):
        return as_json(asdict(value))
    if isinstance(value, Mapping):
        return {str(name): as_json(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(item) for item in value]
    return value
