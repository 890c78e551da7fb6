"""How results are shown in Dagster: numbers under stable keys (the UI plots them over time), a small table, a picture.

To show something new, add it to the function of its result. Must stay out: asking any store; what is shown was measured by a service.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from memory_pipelines.assets import plots
from memory_pipelines.domain.dead_letters import DeadLetter, Released
from memory_pipelines.domain.models import DrainResult, Finding, Status, Verdict
from memory_pipelines.domain.plans import RepairPlan, RepairResult

Metadata = dict[str, Any]
# Which row is behind, the ledger knows; Dagster must not claim to know it from the order of runs ("Unsynced"). So there is one version for
# ever, and it is the one that Dagster assumes of an asset that was never materialised: with another name for it, a projection that was
# drained before the record was first measured would count as behind from that measurement on.
VERSION = dg.DataVersion("INITIAL")
TABLE_ROWS = 12
SHOWN_OF_A_VERDICT = ("repaired", "pending", "seconds", "bytes", "paused_seconds", "resumed")  # after when, how, and what was found
WORST = ("wrong_namespace", "extra", "orphan", "settled_absent", "missing", "ahead", "stale", "edited")  # of the others, the oldest first
RECENT = 50
# Nothing is owed of these: search scans them exactly, until maintenance folds them into the index for large namespaces.
SHOWN_AS = {"embeddings_waiting": "embeddings_scanned_exactly"}


@dataclass(frozen=True)
class Past:
    """Numbers of earlier materialisations of one asset, oldest first, each with its time."""

    numbers: tuple[tuple[datetime, Mapping[str, Any]], ...] = ()

    @classmethod
    def of(cls, context: dg.AssetExecutionContext, key: str) -> "Past":
        """The most recent materialisations of `key`, from Dagster's own history."""
        found = context.instance.fetch_materializations(dg.AssetKey(key), limit=RECENT).records
        return cls(tuple((datetime.fromtimestamp(record.timestamp, UTC), _numbers(record)) for record in reversed(found)))

    def series(self, now: Metadata, *names: str) -> dict[str, list[plots.Point]]:
        """Each named number over time, ending with its present value."""
        moments = [*self.numbers, (datetime.now(UTC), now)]
        return {name.replace("_", " "): [(at, float(values[name])) for at, values in moments if name in values] for name in names}


def _numbers(record: dg.EventLogRecord) -> dict[str, Any]:
    materialisation = record.asset_materialization
    values = {name: item.value for name, item in materialisation.metadata.items()} if materialisation else {}
    return {name: value for name, value in values.items() if isinstance(value, (int, float))}


def drained(result: DrainResult, past: Past = Past()) -> Metadata:
    """One drain of one projection, `past` being earlier materialisations of its asset."""
    numbers: Metadata = {
        "rows_done": result.done,
        "rows_per_second": round(result.rate, 1),
        "still_owed": result.owed,
        "oldest_owed_seconds": round(result.oldest_owed_seconds or 0.0, 1),
        "parked": result.parked,
        "failed": result.failed,
        "superseded": result.superseded,
        "batches": result.batches,
        "seconds": round(result.seconds, 2),
        "owed_again_after_rollback": result.rolled_back,
    }
    pictures = {
        "recent_runs": plots.lines("Rows done and still owed, by run", past.series(numbers, "rows_done", "still_owed")),
        "this_run": plots.lines("Rows done, by second of this run", {"rows done": list(result.progress)}),
    }
    return _shown(pictures | numbers | {f"cost_{name}": used for name, used in result.cost.items()} | {"rows": table(result.sample)})


def released(done: Released, before: Sequence[DeadLetter]) -> Metadata:
    """A retry of dead letters, `before` being the first of what was parked."""
    numbers = {"rows": done.rows, "events": done.events, "unknown": len(done.unknown), "unreadable": len(done.unreadable)}
    return _shown(numbers | {"parked_before": table(_letter(letter) for letter in before)})


def parked(letters: Sequence[DeadLetter]) -> Metadata:
    """The first dead letters of a projection, with their reasons."""
    return _shown({"dead_letters": table(_letter(letter) for letter in letters)})


def _letter(letter: DeadLetter) -> dict[str, Any]:
    return {
        "name": letter.name, "code": letter.code, "reason": letter.reason, "attempts": letter.attempts,
        "last": _moment(letter.last_failed_at), "tokens": letter.tokens_spent,
    }  # fmt: skip


def audited(verdict: Verdict, history: Sequence[Mapping[str, Any]] = ()) -> Metadata:
    """One audit. `history` are stored verdicts, newest first."""
    found = sum(verdict.counts.values())
    rows = sum(verdict.checked.values())
    past = [(datetime.fromisoformat(str(row["at"])), row) for row in reversed(history)]
    pictures = {
        "differences_over_time": plots.lines(
            "Rows that differed, and were repaired, by audit",
            {"differ": [(at, sum(row["kinds"].values())) for at, row in past], "repaired": [(at, row["repaired"]) for at, row in past]},
        ),
        "cost_over_time": plots.lines(
            "Seconds and megabytes read, by audit",
            {"seconds": [(at, row["seconds"]) for at, row in past], "MB read": [(at, round(row["bytes"] / 1e6, 2)) for at, row in past]},
        ),
    }
    numbers = {
        "clean": verdict.clean, "findings": found, "pending": verdict.pending, "repaired": verdict.repaired, "mode": verdict.mode,
        "seconds": round(verdict.seconds, 2), "bytes_read": verdict.bytes, "paused_seconds": verdict.paused_seconds,
        "resumed": verdict.resumed, "rows_per_second": round(rows / verdict.seconds, 1) if verdict.seconds else 0.0,
    }  # fmt: skip
    known = sorted({*verdict.counts, *(kind for row in history for kind in row["kinds"])})  # also what is gone: a plot goes back to zero
    kinds = {f"found_{kind}": verdict.counts.get(kind, 0) for kind in known}
    return _shown(
        pictures
        | numbers
        | {f"checked_{kind}": count for kind, count in verdict.checked.items()}
        | kinds
        | {"differences": table(_worst(verdict)), "verdicts": table(_verdict(row) for row in history)}
    )


def _worst(verdict: Verdict) -> list[dict[str, Any]]:
    """The rows that differ, the worst first: what somebody sees who must not, what should be gone, what is lost; then the oldest."""
    order = {kind: n for n, kind in enumerate(WORST)}
    newest = datetime.max.replace(tzinfo=UTC)
    ranked = sorted(verdict.findings, key=lambda finding: (order.get(finding.kind, len(order)), finding.since or newest))
    return [
        {
            "kind": finding.kind, "store": finding.store, "subject": finding.subject, "differs": _differs(finding), "id": finding.id,
            "since": _moment(finding.since), "written": _moment((finding.last_write or {}).get("at")),
            "settled": _moment((finding.last_settlement or {}).get("at")),
        }
        for finding in ranked[:TABLE_ROWS]
    ]  # fmt: skip


def _differs(finding: Finding) -> str:
    """Which properties differ, numbers with both sides' values. No names and no texts: Dagster's history is not where they are kept."""
    record, store = (side if isinstance(side, Mapping) else {} for side in (finding.expected, finding.actual))
    if not record or not store:
        return "only in the record" if record else "only there" if store else ""
    names = [name for name in {**record, **store} if record.get(name) != store.get(name)]
    return ", ".join(
        f"{name} {record[name]} → {store[name]}" if type(record.get(name)) is int and type(store.get(name)) is int else name
        for name in names
    )


def _verdict(row: Mapping[str, Any]) -> dict[str, Any]:
    found = ", ".join(f"{kind} {count}" for kind, count in row["kinds"].items())
    return {"at": _moment(row["at"]), "mode": row["mode"], "found": found or "clean"} | {name: row[name] for name in SHOWN_OF_A_VERDICT}


def _moment(at: Any) -> str:
    return "" if at is None else str(at)[:19].replace("T", "\u00a0").replace("-", "\u2011")  # so that a narrow table keeps it on one line


def repaired(plan: RepairPlan, result: RepairResult) -> Metadata:
    """What became of a repair plan: rows by outcome, what it looked like, and each row that was not simply done."""
    return _shown(
        {
            "clean": result.clean,
            "planned": len(plan.rows),
            "changed": result.changed,
            "touched_rows_checked": result.checked,
            "findings": len(result.findings),
            "pending": result.pending,
            "seconds": round(result.seconds, 2),
            "estimated_tokens": plan.tokens,
            "estimated_money": "unknown" if plan.money is None else plan.money,
        }
        | {f"rows_{name}": count for name, count in result.outcomes.items()}
        | {f"cost_{name}": used for name, used in result.cost.items()}
        | {
            "plan": table(line.model_dump() for line in plan.summary),
            "rows": table(
                {name: row[name] for name in ("outcome", "change", "projection", "kind", "id", "why", "reason")} for row in result.rows
            ),
        }
    )


def measured(status: Status, past: Past = Past()) -> Metadata:
    """The record as it is now, `past` being earlier materialisations of its asset."""
    spaces: Mapping[str, int] = status.counts.get("namespaces", {})  # type: ignore[assignment]
    numbers: Metadata = {SHOWN_AS.get(name, name): count for name, count in status.counts.items() if isinstance(count, int)}
    numbers |= {"namespaces": len(spaces), "dagster/row_count": numbers["memories"]}
    numbers |= {f"owed_{projection}": count for projection, count in status.owed.items()}
    numbers |= {"parked": status.parked, "given_up": status.dropped, "dead_events": status.dead_events}
    numbers |= {
        f"breaker_{name}_failures": facts["failures"]
        for name, facts in status.breakers.items()
        if name in ("graph", "embedder", "extractor")
    }
    numbers |= {"oldest_owed_seconds": round(status.oldest_owed_seconds or 0.0, 1)}
    largest = sorted(spaces.items(), key=lambda item: (-item[1], item[0]))
    growth = plots.lines("Memories, passages and entities over time", past.series(numbers, "memories", "passages", "entities"))
    return _shown(
        {"growth": growth, "largest_namespaces": table({"namespace": name, "memories": count} for name, count in largest)} | numbers
    )


def held(counts: Mapping[str, Any], asset: str) -> Metadata:
    """How many rows a projection has that is a table of the record; nothing for the graph, which its own check counts."""
    return {"dagster/row_count": counts[asset]} if asset in counts else {}


def table(rows: Iterable[Mapping[str, Any]]) -> dg.TableMetadataValue | None:
    """The first rows as a table, columns from the first row; None when there are none."""
    shown = list(rows)[:TABLE_ROWS]
    if not shown:
        return None
    columns = [dg.TableColumn(name, type=_kind(value)) for name, value in shown[0].items()]
    records = [dg.TableRecord({column.name: _cell(row.get(column.name)) for column in columns}) for row in shown]
    return dg.MetadataValue.table(records=records, schema=dg.TableSchema(columns=columns))


def _kind(value: Any) -> str:
    return {bool: "bool", int: "int", float: "float"}.get(type(value), "string")


def _cell(value: Any) -> str | int | float | bool | None:
    if isinstance(value, (tuple, list)):
        return ", ".join(str(item) for item in value)
    return value if isinstance(value, (str, int, float, bool)) or value is None else str(value)


def _shown(metadata: Metadata) -> Metadata:
    return {key: value for key, value in metadata.items() if value is not None}
