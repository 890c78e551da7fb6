"""How things stand, in words: what `status` prints, with the next command where something is to be done.

To tell more, add a sentence to `_hints`, or a field to `domain.models.Status` and a line here. Must stay out: finding it out
(`services/status.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from memory_pipelines.entrypoints.cli import output, units

if TYPE_CHECKING:
    from memory_pipelines.domain.models import Status

_NOT_FOR_PEOPLE = {"ok", "identity"}
BREAKERS = {"closed": "asked as usual", "open": "not asked", "half-open": "being probed"}


def show(found: Status, budget: float, dev: str | None) -> None:
    """Print how things stand.

    Args:
        budget: the sync budget, in seconds.
        dev: address of the `dev` that runs on this home.
    """
    output.say(_held(found.counts))
    _show_owed(found, budget, dev)
    for sentence in _hints(found):
        output.say(sentence)
    output.table("Engines", ("engine", "answers", "what it is"), [_engine(name, facts) for name, facts in found.engines.items()])
    _show_breakers(found.breakers)
    for name, facts in found.engines.items():
        for warning in facts.get("warnings", ()):
            output.say(f"[yellow]{name}[/yellow]: {output.shown(warning)}")
    if not all(facts.get("ok") for facts in found.engines.values()):
        output.say("[bold red]✗ An engine does not answer.[/bold red] What to do about it: memory-pipelines doctor")


def _held(counts: Mapping[str, Any]) -> str:
    if not counts.get("memories"):
        forgotten = f" ({counts['forgotten']:,} were forgotten)" if counts.get("forgotten") else ""
        return (
            f'The record holds no memories{forgotten}. To save the first: memory-pipelines save "…"; to see a sample: memory-pipelines demo'
        )
    spaces = sum(1 for live in counts["namespaces"].values() if live)
    held = ((counts["passages"], "passage"), (counts["embeddings"], "vector"), (counts["entities"], "entity"),
            (counts["mentions"], "mention"), (counts["relations"], "relation"))  # fmt: skip
    return (
        f"The record holds {units.count(counts['memories'], 'memory')} in {units.count(spaces, 'namespace')}, with "
        + ", ".join(units.count(number, noun) for number, noun in held)
        + (f"; {counts['forgotten']:,} forgotten." if counts["forgotten"] else ".")
    )


def _show_owed(found: Status, budget: float, dev: str | None) -> None:
    owed = sum(found.owed.values())
    if not owed:
        output.say("[green]✓ Nothing is owed.[/green] To prove that the stores are equal: memory-pipelines audit")
        return
    oldest = found.oldest_owed_seconds or 0.0
    late = f"[yellow]longer than the sync budget of {units.lasting(budget)}[/yellow]"
    within = f"within the sync budget of {units.lasting(budget)}"
    output.say(
        f"[yellow]{units.count(owed, 'row')} of the ledger {'is' if owed == 1 else 'are'} owed[/yellow], the oldest for "
        f"{units.lasting(oldest)}: {late if oldest > budget else within}."
    )
    columns = ("projection", "owed rows", "owed for", "drained now", "parked rows", "given up rows")
    rows = [
        (name, one["owed"], _for(one), "yes" if one["draining"] else "no", one["parked"], one["dropped"])
        for name, one in found.projections.items()
    ]
    output.table(None, columns, rows, right=(*columns[1:3], *columns[4:]))
    output.say(_drained(found, dev))


def _for(projection: Mapping[str, Any]) -> str:
    seconds = projection["oldest_owed_seconds"]
    return units.lasting(seconds) if projection["owed"] and seconds is not None else ""


def _drained(found: Status, dev: str | None) -> str:
    """Who pays what is owed, and what to do where nobody does."""
    waiting = [name for name, one in found.projections.items() if one["owed"] and not one["draining"]]
    if not waiting:
        return "It is being drained now. To follow it: memory-pipelines status"
    if dev is not None:
        return f"The sensors of the dev that runs here ({dev}) drain it within seconds. To drain it now: memory-pipelines sync"
    names = " and ".join(filter(None, (", ".join(waiting[:-1]), waiting[-1])))
    return f"Nobody drains {names} at this moment. To drain it now: memory-pipelines sync; to have that done always: memory-pipelines dev"


def _hints(found: Status) -> Iterator[str]:
    if retried := sum(one["owed"] - one["ready"] for one in found.projections.values()):
        yield f"{units.count(retried, 'row')} of them failed before, waiting for the next attempt; memory-pipelines explain ID says why."
    if found.parked:
        yield (
            f"[yellow]{units.count(found.parked, 'row')} {'is' if found.parked == 1 else 'are'} parked[/yellow]: "
            f"no drain takes {'it' if found.parked == 1 else 'them'}. "
            "To see why: memory-pipelines dead list"
        )
    if found.dropped:
        yield f"{units.count(found.dropped, 'row')} given up knowingly: audits go on naming them. To see them: memory-pipelines dead list"
    if found.dead_events:
        yield f"[yellow]{units.count(found.dead_events, 'event')} could not be read.[/yellow] To see them: memory-pipelines dead list"


def _show_breakers(breakers: Mapping[str, Mapping[str, Any]]) -> None:
    told = {name: facts for name, facts in breakers.items() if facts["mode"] != "closed" or facts["failures"]}
    if not told:
        output.say("Breakers: all closed; every dependency is asked as usual.")
        return
    columns = ("dependency", "breaker", "failures in a row", "open for", "next probe in", "reason")
    rows = [
        (name, f"{facts['mode']}: {BREAKERS.get(facts['mode'], '')}", facts["failures"], _lasting(facts["open_seconds"]),
         _lasting(facts["probe_in_seconds"]), facts["reason"])
        for name, facts in told.items()
    ]  # fmt: skip
    output.table("Breakers; all others are closed", columns, rows, right=columns[2:5])


def _lasting(seconds: float | None) -> str:
    return "" if seconds is None else units.lasting(seconds)


def _engine(name: str, facts: Mapping[str, Any]) -> tuple[str, str, str]:
    if not facts.get("ok"):
        return name, "no", str(facts.get("message", ""))
    known = {field: value for field, value in facts.items() if field not in _NOT_FOR_PEOPLE and isinstance(value, (str, int))}
    return name, "yes", ", ".join(f"{field} {value}" for field, value in known.items())
