"""Where names stand in a text, and what the words around each prove.

Lives here: runs of capitalised words, cut into names, with evidence of a rank for each occurrence. To add evidence, add a
rank or a test in `_evidence`. Must stay out: weighing occurrences against each other, which is `rules.py`'s work.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from memory_pipelines.models.extractors import vocabulary as words

_LONGEST = 6  # words of a name; longer runs are headlines
_UPPER = "".join(chr(code) for code in range(0x41, 0x530) if chr(code).isupper())
_DOTTED = "|".join(sorted((title for title in words.TITLES if len(title) <= 5), key=len, reverse=True))
_TOKEN = rf"(?:(?:{_DOTTED}|St|Mt)\.|(?!I\b)(?:[{_UPPER}]\.)+(?=[ ,;)]|$)|[{_UPPER}][\w&]*(?:[’'-]\w+)*)"
_LINK = r" (?:of the|of|de la|de|du|van der|van|von|der|del|di|da) "
_RUN = re.compile(rf"(?<![\w@#/.’'-]){_TOKEN}(?:(?: |{_LINK}|(?<=\.)){_TOKEN})*")
_PART = re.compile(rf"{_TOKEN}|(?<= )(?:of the|of|de la|de|du|van der|van|von|der|del|di|da)(?= )")
_INITIALS = re.compile(rf"(?:[{_UPPER}]\.)+")
_POSSESSIVE = re.compile(r"[’']s?$")
_GLUED = re.compile(r"[@/_#]|\.[a-z0-9]")  # behind a part of an address, a path or a file's name
_NEXT = re.compile(r" ([a-z]+)")
_BEFORE_SENTENCE = frozenset(" \t\"“‘'([*_•—-")


class Rank(IntEnum):
    """How much an occurrence proves. From `THING` on, a name is taken."""

    INITIAL = 1  # a capital at the beginning of a sentence
    THING = 2  # a capital elsewhere
    CUE = 3  # behind "in", "at", …
    ACT = 4  # does what only people do, or is someone's cousin
    FIRST_NAME = 5
    KNOWN = 6  # ends like a place, or is one
    ORGANISATION = 7
    TITLE = 8


@dataclass(frozen=True, slots=True)
class Occurrence:
    """A name at `start`…`end` of the text (a possessive 's lies outside), with what it proves to be."""

    name: str
    start: int
    end: int
    rank: Rank
    type: str
    before: str
    possessive: bool


def occurrences(text: str) -> Iterator[Occurrence]:
    """Names of `text`, in order, also those that nothing but a sentence's capital speaks for."""
    for run in _RUN.finditer(text):
        tokens = [(part[0], run.start() + part.start()) for part in _PART.finditer(run[0])]
        if len(tokens) > 2 and run[0].isupper() and len(run[0]) > 12:
            continue  # somebody shouts
        for name in _names(tokens):
            occurrence = _occurrence(text, name, run.start())
            if occurrence is not None:
                yield occurrence


def _names(tokens: list[tuple[str, int]]) -> Iterator[list[tuple[str, int]]]:
    """Cut a run into names: at words that are no names, behind a possessive, and at an "of" that joins nothing."""
    name: list[tuple[str, int]] = []
    for index, token in enumerate(tokens):
        word = token[0]
        following = tokens[index + 1][0] if index + 1 < len(tokens) else ""
        if word[0].islower():
            if name and (not word.startswith("of") or name[-1][0] in words.BEFORE_OF):
                name.append(token)
            else:
                yield name
                name = []
        elif word in words.NOT_NAMES and word not in words.MAY_JOIN and f"{word} {following}" not in words.PLACES:
            yield name
            name = []
        else:
            name.append(token)
            if _POSSESSIVE.search(word) and following not in words.PLACE_ENDS and following not in words.ORGANISATION_ENDS:
                yield name
                name = []
    yield name


def _occurrence(text: str, tokens: list[tuple[str, int]], run_start: int) -> Occurrence | None:
    while tokens and tokens[-1][0][0].islower():
        tokens.pop()
    if not tokens or len(tokens) > _LONGEST:
        return None
    start = tokens[0][1]
    end = tokens[-1][1] + len(tokens[-1][0])
    owner = _POSSESSIVE.search(text, start, end)
    if owner is not None:
        end = owner.start()
    name = text[start:end]
    if len(name) < 2 or len(name) > 100 or _GLUED.match(text, end) or not _says_something([word for word, _ in tokens], name):
        return None
    before = text[max(0, start - 60) : start].split()
    initial = start == run_start and _begins_sentence(text, start)
    following = _NEXT.match(text, end)
    rank, kind = _evidence(name, before[-4:], following[1] if following else "", initial)
    return Occurrence(name, start, end, rank, kind, before[-1].lower() if before and not initial else "", owner is not None)


def _says_something(tokens: list[str], name: str) -> bool:
    """Not merely titles, initials, or a common noun such as "Office"."""
    if name in words.PLACES or name in words.ORGANISATIONS:
        return True
    plain = [token.rstrip(".") for token in tokens]
    if all(token in words.TITLES or token in words.NOT_NAMES or len(token) == 1 for token in plain):
        return False
    word = _POSSESSIVE.sub("", plain[0])
    return len(tokens) > 1 or not (
        word in words.PLACE_ENDS
        or word in words.ORGANISATION_ENDS
        or word in words.PLACE_STARTS
        or word in words.TITLES
        or word in words.NOT_NAMES
        or word in words.ORGANISATION_STARTS
    )


def _evidence(name: str, before: list[str], following: str, initial: bool) -> tuple[Rank, str]:
    """The best that can be said of one occurrence. `before` holds up to four words, the nearest last."""
    tokens = name.split(" ")
    first, last = tokens[0].rstrip("."), tokens[-1]
    previous = before[-1] if before else ""
    if name in words.ORGANISATIONS:
        return Rank.ORGANISATION, "organisation"
    if name in words.PLACES:
        return Rank.KNOWN, "place"
    if len(tokens) > 1:
        ends = last in words.PLACE_ENDS or last in words.ORGANISATION_ENDS
        if first in words.TITLES and not (ends and first in words.WEAK_TITLES):
            return Rank.TITLE, "person"
        if last in words.ORGANISATION_ENDS or (first in words.ORGANISATION_STARTS and " of " in name):
            return Rank.ORGANISATION, "organisation"
        surname = first in words.FIRST_NAMES and last in words.SURNAME_ENDS and previous.lower() not in words.PLACE_CUES | {"to", "the"}
        if (last in words.PLACE_ENDS and not surname) or first in words.PLACE_STARTS:
            return Rank.KNOWN, "place"
    if first.partition("-")[0] in words.FIRST_NAMES or (len(tokens) > 1 and _INITIALS.fullmatch(tokens[0])):
        return Rank.FIRST_NAME, "person"
    if following in words.PERSON_VERBS or previous in words.KIN:
        return Rank.ACT, "person"
    if initial:
        return (Rank.THING, "thing") if len(tokens) > 1 else (Rank.INITIAL, "thing")
    nearer = before[-2] if len(before) > 1 else ""
    if previous in ("at", "for") and nearer in words.WORK:
        return Rank.CUE, "organisation"
    if name.isupper() and len(tokens) == 1:
        return Rank.THING, "thing"  # an acronym, of anything
    if previous.lower() in words.PLACE_CUES and nearer.lower() not in words.NOT_A_PLACE_AFTER:
        return Rank.CUE, "place"
    if previous in words.MOVEMENT_CUES and any(word in words.MOVEMENT for word in before[:-1]):
        return Rank.CUE, "place"
    return Rank.THING, "thing"


def _begins_sentence(text: str, start: int) -> bool:
    position = start - 1
    while position >= 0 and text[position] in _BEFORE_SENTENCE:
        position -= 1
    return position < 0 or text[position] in ".!?…:\n"
