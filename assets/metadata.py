"""How results are shown in Dagster: numbers under stable keys (the UI plots them over time), a small table, a picture.

To show something new, add it to the function of its result. Must stay out: asking any store; what is shown was measured by a service.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from assets import plots
from memory_pipelines.domain.dead_letters import DeadLetter, Released
from memory_pipelines.domain.models import DrainResult, Status, Verdict

Metadata = dict[str, Any]
# Which row is behind, the ledger knows. With one version for ever, Dagster does not claim to know it from the order of runs ("Unsynced").
VERSION = dg.DataVersion("see-the-ledger")
TABLE_ROWS = 12
SHOWN_OF_A_VERDICT = ("mode", "clean", "pending", "repaired", "seconds")
RECENT = 50


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
    letters = ({"name": letter.name, "code": letter.code, "attempts": letter.attempts, "tokens": letter.tokens_spent} for letter in before)
    numbers = {"rows": done.rows, "events": done.events, "unknown": len(done.unknown), "unreadable": len(done.unreadable)}
    return _shown(numbers | {"parked_before": table(letters)})


def audited(verdict: Verdict, history: Sequence[Mapping[str, Any]] = ()) -> Metadata:
    """One audit. `history` are stored verdicts, newest first."""
    return _shown(
        {
            "clean": verdict.clean,
            "findings": len(verdict.findings),
            "pending": verdict.pending,
            "repaired": verdict.repaired,
            "mode": verdict.mode,
            "seconds": round(verdict.seconds, 2),
        }
        | {f"checked_{kind}": count for kind, count in verdict.checked.items()}
        | {
            "differences": table(
                {"kind": finding.kind, "store": finding.store, "subject": finding.subject, "id": finding.id} for finding in verdict.findings
            ),
            "verdicts": table(
                {"at": str(row["at"])[:19].replace("T", " ")} | {name: row[name] for name in SHOWN_OF_A_VERDICT} for row in history
            ),
        }
    )


def measured(status: Status, past: Past = Past()) -> Metadata:
    """The record as it is now, `past` being earlier materialisations of its asset."""
    spaces: Mapping[str, int] = status.counts.get("namespaces", {})  # type: ignore[assignment]
    numbers: Metadata = {name: count for name, count in status.counts.items() if isinstance(count, int)} | {"namespaces": len(spaces)}
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
    return value if isinstance(value, (str, int, float, bool)) or value is None else str(value)


def _shown(metadata: Metadata) -> Metadata:
    return {key: value for key, value in metadata.items() if value is not None}
