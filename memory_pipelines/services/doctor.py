"""`doctor`: is everything configured fit for use, and what is to be done where it is not? Read-only.

Each engine is examined by its store; here stands what only a comparison shows: the embedder against the record's vectors, the graph's
marker against what was settled, the record's clock against ours. To add such a comparison: a function here. Must stay out: drivers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from memory_pipelines.domain.diagnosis import Check, Examination, error, ok, warning
from memory_pipelines.domain.errors import MemoryPipelinesError
from memory_pipelines.ports import Embedder, Examiner

SKEW_WARNING_SECONDS = 2.0
SKEW_ERROR_SECONDS = 60.0


def diagnose(examiners: Mapping[str, Examiner | None], open_embedder: Callable[[], Embedder], settled: Sequence[Check] = ()) -> list[Check]:
    """Examine every engine and compare them. The record comes first: what it settled was in the graph before.

    Args:
        examiners: by engine, `postgres` before `graph`; None for an embedded engine that does not run, and is not started for this.
        open_embedder: opens the configured embedder.
        settled: checks of the settings themselves, known without connecting.

    Returns:
        Every check, also those that are fine.
    """
    found = {name: examiner.examine() if examiner is not None else asleep(name) for name, examiner in examiners.items()}
    record, graph = found.get("postgres", Examination(())).facts, found.get("graph", Examination(())).facts
    checks = [*settled, *(check for examination in found.values() for check in examination.checks)]
    return [*checks, *clock(record), *embedder(record, open_embedder), *marker(record, graph)]


def asleep(engine: str) -> Examination:
    """An embedded engine that does not run: not an error, the first command that needs it starts it."""
    return Examination(
        (warning(f"{engine}.connection", "embedded, and not running", "`memory-pipelines up` starts it, as does first use."),)
    )


def clock(record: Mapping[str, Any]) -> Iterable[Check]:
    """Only the record's clock counts for leases and ages; a machine that disagrees shows ages that are none."""
    if "skew_seconds" not in record:
        return
    skew, within = float(record["skew_seconds"]), float(record["skew_within"])
    beyond = max(abs(skew) - within, 0.0)
    seen = f"the record's clock is {skew:+.3f} s from this machine's (± {within:.3f})"
    fix = "Let both follow the same time server (NTP)."
    if beyond > SKEW_ERROR_SECONDS:
        yield error("clock.skew", seen, fix)
    elif beyond > SKEW_WARNING_SECONDS:
        yield warning("clock.skew", seen, fix)
    else:
        yield ok("clock.skew", seen)


def embedder(record: Mapping[str, Any], open_embedder: Callable[[], Embedder]) -> Iterable[Check]:
    """Vectors of another size or model cannot be compared with those that are stored. One word is embedded, to see its size."""
    try:
        model = open_embedder()
        size = len(model.embed(["doctor"])[0])
    except MemoryPipelinesError as failure:
        yield error("embedder.answers", failure.message, "See MEMORY_EMBEDDER, OPENAI_API_KEY and OPENAI_BASE_URL.")
        return
    generation = record.get("generation")
    if size != model.dimensions:
        yield error(
            "embedder.dimensions",
            f"{model.name} answers with {size} dimensions, not {model.dimensions}",
            "Set MEMORY_EMBEDDING_DIMENSIONS.",
        )
    elif generation is None:
        yield ok("embedder.dimensions", f"{model.name}: {size} dimensions; nothing is embedded yet")
    elif generation["dimensions"] != size:
        yield error(
            "embedder.dimensions",
            f"the record's vectors have {generation['dimensions']} dimensions ({generation['model']}), {model.name} makes {size}",
            "Set MEMORY_EMBEDDER and MEMORY_EMBEDDING_DIMENSIONS back to what the record was embedded with.",
        )
    elif generation["model"] != model.name:
        yield error(
            "embedder.model", f"the record was embedded with {generation['model']}, {model.name} is configured", "Set MEMORY_EMBEDDER back."
        )
    else:
        yield ok("embedder.dimensions", f"{model.name}: {size} dimensions, as the record has them")


def marker(record: Mapping[str, Any], graph: Mapping[str, Any]) -> Iterable[Check]:
    """A graph below what was settled was rolled back; one that has met claims which the record never made shows that the record was."""
    if "settled_marker" not in record or "marker" not in graph:
        return
    settled, counter = int(record["settled_marker"]), int(graph["marker"])
    if "issued_claim" in record and int(graph["claim"]) > int(record["issued_claim"]):
        yield error(
            "graph.marker",
            f"the graph has met claim {graph['claim']}, the record has issued {record['issued_claim']}: the record was rolled back,"
            " or a drop of the graph was broken off",
            "Drop the graph and build it again from the record: `memory-pipelines rebuild graph --drop`.",
        )
    elif counter < settled:
        yield error(
            "graph.marker",
            f"the marker is at {counter}, {settled} was settled: the graph was rolled back or emptied",
            "`memory-pipelines sync graph` owes what it lacks again and applies it; then `memory-pipelines audit --deep`.",
        )
    else:
        yield ok("graph.marker", f"at {counter}, settled {settled}")
