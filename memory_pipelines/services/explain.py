"""Everything that is known of one id: what the record says, what each store holds, and what happened, in order of time.

To tell more, add it to `memory_explain_v1`, and to `_events` where it has a time. Must stay out: judging (`services/audit`), repairing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from memory_pipelines.domain.errors import InvalidInput, NotFound
from memory_pipelines.domain.models import Explanation
from memory_pipelines.services.platform import Platform

_LONGEST_ID = 200


def explain(platform: Platform, id: str, *, text: bool = False) -> Explanation:  # noqa: A002
    """What is known of a memory, an entity or a relation. It asks the record and the graph, and changes nothing.

    Args:
        id: of any of them; also one that only a store or the ledger knows.
        text: also the text, name or predicate, which are left out otherwise.

    Raises:
        InvalidInput: `id_invalid`
        NotFound: `subject_unknown`: neither the record, nor the ledger, nor the graph knows it.
        Unavailable: a store could not be looked at.
    """
    if not id or len(id) > _LONGEST_ID:
        raise InvalidInput("id_invalid", f"An id has 1 to {_LONGEST_ID} characters.")
    known = platform.record.explain(id, text=text)
    nodes = _nodes(platform, known["kind"], id, known["record"])
    vectors, passages = known["embeddings"], known["passages"]
    if known["kind"] == "unknown" and not (nodes or known["ledger"] or vectors or passages):
        raise NotFound("subject_unknown", "Neither the record, nor the ledger, nor the graph knows this id.", {"id": id})
    attempts = known["attempts"]
    finding = known["verdict"]
    return Explanation(
        id=id, kind=known["kind"],
        record=None if known["record"] is None else {**known["record"], "versions": known["versions"], **known["links"]},
        stores={"graph": [_shown(node, text) for node in nodes], "embeddings": vectors, "passages": passages},
        ledger=tuple(known["ledger"]), attempts=tuple(attempts),
        dead_letter=tuple(row for row in known["ledger"] if row["parked_at"] is not None),
        finding=finding, events=tuple(sorted(_events(known), key=lambda event: event["at"])),
    )  # fmt: skip


def _nodes(platform: Platform, kind: str, id: str, record: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:  # noqa: A002
    """What the graph shows under this id: one row, as it should be, or several, or none."""
    if kind == "relation" and record is not None:
        edge = {"id": id, "source": record["source"], "target": record["target"]}
        return [row["props"] for row in platform.graph.rows("relation", ids=[edge])]
    kinds: Sequence[str] = (kind,) if kind in ("memory", "entity") else ("memory", "entity")
    return [row["props"] for one in kinds for row in platform.graph.rows(one, ids=[id])]


def _shown(node: Mapping[str, Any], text: bool) -> dict[str, Any]:
    """A node's numbers; its words only where they are asked for."""
    numbers = {name: value for name, value in node.items() if name in ("id", "namespace") or isinstance(value, (int, bool))}
    return dict(node) if text else numbers


def _events(known: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    record = known["record"]
    for version in known["versions"]:
        yield {"at": version["at"], "what": version["operation"], "version": version["version"], "revision": version["revision"]}
    if record is not None:
        at = record["deleted_at"] or record["updated_at"]
        what = "forgotten" if record["deleted_at"] else record.get("operation", "written")
        yield {"at": at, "what": what, "version": record["version"], "revision": record["revision"]}
    for row in known["ledger"]:
        if row["settled_at"] is not None:
            settled = {name: row[f"settled_{name}"] for name in ("version", "revision", "marker")}
            yield {"at": row["settled_at"], "what": "settled", "projection": row["projection"], **settled}
        if row["owed_since"] is not None:
            yield {"at": row["owed_since"], "what": "owed", "projection": row["projection"], "number": row["owed_number"]}
    for attempt in known["attempts"]:
        if attempt["outcome"] != "settled":
            error = {"attempt": attempt["attempt"], "error": attempt["error"]}
            yield {"at": attempt["at"], "what": attempt["outcome"], "projection": attempt["projection"], **error}
    if known["verdict"] is not None:
        kinds = sorted({finding["kind"] for finding in known["verdict"]["findings"]})
        yield {"at": known["verdict"]["at"], "what": "named by an audit", "mode": known["verdict"]["mode"], "kinds": kinds}
