"""Dead letters: seen, retried, dropped. To park something is `memory_fail_v1`'s and `events.park`'s business.

A retry releases a row, and drains take it again; of an entry, what it names is published again if it can be read by now. A drop
gives a row's debt up knowingly: it stays parked through every repair, and each audit names it as `given_up`, until the subject
changes, or somebody retries it or rebuilds. A dropped entry is deleted: what it may have named is owed in the ledger.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from memory_pipelines.domain import events as schema
from memory_pipelines.domain import validation
from memory_pipelines.domain.dead_letters import EVENT, DeadLetter, DeadLetterPage, Named, Released, name_of_event, name_of_row, parse
from memory_pipelines.domain.errors import InvalidInput, NotFound
from memory_pipelines.domain.models import PROJECTIONS, Ref
from memory_pipelines.services import events
from memory_pipelines.services.platform import Platform

_PAGE = 1000  # rows a call


def page(platform: Platform, *, projection: str | None = None, limit: int = 50, cursor: str | None = None) -> DeadLetterPage:
    """One page of dead letters; see `MemoryClient.dead_letters`."""
    _check(projection)
    most = validation.limit(limit)
    letters: list[DeadLetter] = []
    after = _position(cursor)
    if not after[0]:
        found = platform.record.dead_letters(projection=projection, limit=most, after=after[1])
        letters += [_row(row) for row in found["letters"]]
        if found["next"] is not None:
            return DeadLetterPage(tuple(letters), f"row:{found['next']}")
        after = (True, 0)
    if most > len(letters):
        found = platform.record.dead_events(projection=projection, limit=most - len(letters), after=after[1])
        letters += [_event(row) for row in found["events"]]
        return DeadLetterPage(tuple(letters), None if found["next"] is None else f"{EVENT}:{found['next']}")
    return DeadLetterPage(tuple(letters), f"{EVENT}:0")


def show(platform: Platform, name: str) -> tuple[DeadLetter, ...]:
    """The dead letter of this name; or all of a subject's, by its id alone.

    Raises:
        NotFound: `dead_letter_unknown`
    """
    found: list[DeadLetter] = []
    if ":" in name:
        named = parse([name])
        if named.rows:
            found += [_row(row) for row in platform.record.dead_letters(letters=named.rows, limit=_PAGE)["letters"]]
        if named.events:
            found += [_event(row) for row in platform.record.dead_events(ids=named.events, limit=_PAGE)["events"]]
    else:
        found += [_row(row) for row in platform.record.dead_letters(id=name, limit=_PAGE)["letters"]]
    if not found:
        raise NotFound("dead_letter_unknown", f"Nothing is parked under {name[:200]!r}.", {"name": name[:200]})
    return tuple(found)


def retry(
    platform: Platform, names: Sequence[str] = (), *, projection: str | None = None, all_of_them: bool = False, accept_empty: bool = False
) -> Released:
    """Release dead letters; see `MemoryClient.retry_dead`."""
    _check(projection)
    if bool(names) == (all_of_them or projection is not None):
        raise InvalidInput("dead_letter_invalid", "Name the dead letters, or say that all are meant (of one projection, or of all).")
    if not names:
        return _retry_all(platform, projection, accept_empty)
    named = parse(names)
    known = _known(platform, named.rows)
    touched: list[Ref] = []
    rows = 0
    for start in range(0, len(known), _PAGE):
        answer = platform.record.retry_dead(letters=known[start : start + _PAGE], limit=_PAGE, accept_empty=accept_empty)
        rows += answer["retried"]
        touched += answer["touched"]
    found = _events(platform, named.events)
    done, unreadable = _read_again(platform, [_event(row) for row in found])
    events.publish(platform, touched)
    return Released(rows, done, _unknown(named, known, found), tuple(unreadable))


def drop(platform: Platform, names: Sequence[str]) -> Released:
    """Give dead letters up; see `MemoryClient.drop_dead`."""
    named = parse(names)
    if not names:
        raise InvalidInput("dead_letter_invalid", "Name the dead letters to drop.")
    known = _known(platform, named.rows)
    rows = sum(platform.record.drop_dead(known[start : start + _PAGE]) for start in range(0, len(known), _PAGE))
    found = _events(platform, named.events)
    dropped = platform.record.drop_events([row["id"] for row in found]) if found else 0
    return Released(rows, dropped, _unknown(named, known, found))


def _retry_all(platform: Platform, projection: str | None, accept_empty: bool) -> Released:
    rows = done = 0
    while True:
        answer = platform.record.retry_dead(projection=projection, limit=_PAGE, accept_empty=accept_empty)
        rows += answer["retried"]
        events.publish(platform, answer["touched"])
        if answer["retried"] < _PAGE:
            break
    unreadable: list[str] = []
    after = 0
    while True:
        found = platform.record.dead_events(projection=projection, limit=_PAGE, after=after)
        read, still = _read_again(platform, [_event(row) for row in found["events"]])
        done += read
        unreadable += still
        if found["next"] is None:
            return Released(rows, done, (), tuple(unreadable))
        after = found["next"]


def _read_again(platform: Platform, letters: Sequence[DeadLetter]) -> tuple[int, list[str]]:
    """Publish what parked entries name, of those that can be read by now, and let those go. How many, and the names of the others."""
    read: list[int] = []
    unreadable: list[str] = []
    for letter in letters:
        refs, problem = schema.read_payload(letter.payload or "")
        if problem is not None:
            unreadable.append(letter.name)
            continue
        events.publish(platform, refs)  # if Redis does not take it, the ledger owes it all the same
        read.append(int(letter.name.partition(":")[2]))
    return (platform.record.drop_events(read) if read else 0), unreadable


def _known(platform: Platform, rows: Sequence[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """Which of these rows are parked."""
    found: list[tuple[str, str, str]] = []
    for start in range(0, len(rows), _PAGE):
        answer = platform.record.dead_letters(letters=rows[start : start + _PAGE], limit=_PAGE)
        found += [(row["projection"], row["kind"], row["id"]) for row in answer["letters"]]
    return found


def _events(platform: Platform, ids: Sequence[int]) -> list[dict[str, Any]]:
    return [
        row
        for start in range(0, len(ids), _PAGE)
        for row in platform.record.dead_events(ids=ids[start : start + _PAGE], limit=_PAGE)["events"]
    ]


def _unknown(named: Named, rows: Sequence[tuple[str, str, str]], found: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    """Names under which nothing is parked."""
    numbers = {row["id"] for row in found}
    gone = [name_of_row(*row) for row in named.rows if row not in set(rows)]
    return (*gone, *(name_of_event(number) for number in named.events if number not in numbers))


def _check(projection: str | None) -> None:
    if projection is not None and projection not in PROJECTIONS:
        raise InvalidInput("projection_unknown", f"There is no projection {projection!r}: use {', '.join(PROJECTIONS)}.")


def _position(cursor: str | None) -> tuple[bool, int]:
    """Whether a page begins among the entries, and after which number."""
    if cursor is None:
        return False, 0
    what, _, number = cursor.partition(":")
    if what not in ("row", EVENT) or not number.isascii() or not number.isdigit():
        raise InvalidInput("cursor_invalid", "This is no cursor of a page of dead letters.")
    return what == EVENT, int(number)


def _row(row: dict[str, Any]) -> DeadLetter:
    name = name_of_row(row["projection"], row["kind"], row["id"])
    return DeadLetter(
        name, row["projection"], row["kind"], row["id"], row["code"], row["reason"] or "", row["attempts"], _time(row["first_failed_at"]),
        _time(row["last_failed_at"]), row["namespace"], row["tokens_spent"], _time(row["owed_since"]),
        None if row["dropped_at"] is None else _time(row["dropped_at"]),
    )  # fmt: skip


def _event(row: dict[str, Any]) -> DeadLetter:
    at = _time(row["at"])
    name = name_of_event(row["id"])
    return DeadLetter(name, row["projection"], EVENT, row["entry"], "event_malformed", row["problem"], 1, at, at, payload=row["payload"])


def _time(value: str) -> datetime:
    return datetime.fromisoformat(value)
