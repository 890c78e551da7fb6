"""The local extractor: people, places, organisations and dates by rules, and four relations. No model, no network.

Lives here: weighing what `occurrences.py` found, dates, relations; the words are in `vocabulary.py`. To add a relation,
add a pattern that hardly ever lies. Must stay out: guesses at meaning. A missed name costs little, a wrong one a lot.

Over a text, a name takes the type of its best evidence, so it has one type. A capital at the beginning of a sentence
proves nothing: a single word counts there only if something else speaks for it, here or elsewhere in the text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from memory_pipelines.domain.models import EntityMention, Links, RelationMention
from memory_pipelines.domain.names import name_key
from memory_pipelines.models.extractors import vocabulary as words
from memory_pipelines.models.extractors.occurrences import Occurrence, Rank, occurrences
from memory_pipelines.ports import Extraction

_MOST = 64  # entities of one text

_MONTH = "(?:" + "|".join([*words.MONTHS.split(), *(f"{month}\\.?" for month in words.MONTHS_SHORT.split())]) + ")"
_DAY = r"(?:3[01]|[12]\d|0?[1-9])"
_DATE = re.compile(
    r"(?<![\w.-])(?:"
    rf"\d{{4}}-(?:1[0-2]|0[1-9])-(?:3[01]|[12]\d|0[1-9])(?=T\d|(?![\w-]))"
    rf"|{_DAY}(?:st|nd|rd|th|\.)?(?: of)? {_MONTH}(?:,? \d{{4}})?(?!\w)"
    rf"|{_MONTH} (?:{_DAY}(?:st|nd|rd|th)?(?:,? \d{{4}})?|\d{{4}})(?!\w)"
    ")"
)
_SMALL_WORD = re.compile(r"\b[a-zäöüß]+\b")

# Between two neighbouring names, nothing but this: the predicate, and what it makes of the target.
_RELATIONS = (
    (re.compile(r" (?:works|is working) (?:at|for)(?: the)? "), "works_at", "organisation"),
    (re.compile(r" (?:lives|is living) in(?: the)? "), "lives_in", "place"),
    (re.compile(r" (?:has )?moved to(?: the)? "), "moved_to", "place"),
    (re.compile(r" is married to "), "married_to", "person"),
)
# Before the source, these mean that it is not the subject, or that nothing is stated: "the man from Paris works at …".
_NOT_A_SUBJECT = words.words("in at of from to near with by for if unless whether nor neither not than like")


@dataclass(slots=True)
class _Found:
    """A name of the text while evidence for it comes in."""

    name: str
    start: int
    rank: Rank
    type: str


class RulesExtractor:
    """Satisfies `Extractor`. Deterministic, thread-safe, stdlib only."""

    name = "rules-1"

    def extract(self, texts: Sequence[str]) -> list[Extraction]:
        """One result per text, in order; never a problem, never an error.

        At most 64 entities of a text, in order of first appearance, each once; types are `person`, `place`,
        `organisation`, `date` and `thing`. Predicates are `works_at`, `lives_in`, `moved_to` and `married_to`.
        """
        return [Extraction(_links(text)) for text in texts]

    def cost(self) -> Mapping[str, float]:
        """Always empty."""
        return {}


def _links(text: str) -> Links:
    seen = [(name_key(occurrence.name), occurrence) for occurrence in occurrences(text)]
    found: dict[str, _Found] = {}
    for key, one in seen:
        known = found.get(key)
        if known is None:
            found[key] = _Found(one.name, one.start, one.rank, one.type)
        elif one.rank > known.rank:
            known.rank, known.type = one.rank, one.type
    relations = _relations(text, seen, found)
    least = Rank.ACT if _capitalises_nouns(text) else Rank.THING
    kept = {key: one for key, one in found.items() if one.rank >= least}
    _name_families(kept)
    for date in _DATE.finditer(text):
        kept.setdefault(name_key(date[0]), _Found(date[0], date.start(), Rank.KNOWN, "date"))
    chosen = dict(sorted(kept.items(), key=lambda item: item[1].start)[:_MOST])
    return Links(
        tuple(EntityMention(one.name, one.type) for one in chosen.values()),
        tuple(
            RelationMention(chosen[source].name, predicate, chosen[target].name)
            for source, predicate, target in relations
            if source in chosen and target in chosen
        ),
    )


def _relations(text: str, seen: list[tuple[str, Occurrence]], found: dict[str, _Found]) -> list[tuple[str, str, str]]:
    """Relations between neighbouring names, by key; they also prove types where nothing better does."""
    relations: dict[tuple[str, str, str], None] = {}
    for (source, left), (target, right) in pairwise(seen):
        gap = right.start - left.end
        if not 8 <= gap <= 24 or source == target or left.possessive or right.possessive or left.before in _NOT_A_SUBJECT:
            continue
        between = text[left.end : right.start]
        for pattern, predicate, kind in _RELATIONS:
            if not pattern.fullmatch(between):
                continue
            _prove(found[source], "person")
            _prove(found[target], kind)
            moves = predicate == "moved_to" and found[source].type == "organisation"
            people = found[target].type == "person"
            if (found[source].type == "person" or moves) and people == (kind == "person"):
                relations.setdefault((source, predicate, target))
    return list(relations)


def _prove(one: _Found, kind: str) -> None:
    if one.rank <= Rank.ACT:
        one.rank, one.type = Rank.ACT, kind


def _name_families(kept: dict[str, _Found]) -> None:
    """Where there is a "Mr. Creed" or an "Alice Smith", a bare "Creed" or "Alice" is a person too."""
    parts = {part for key, one in kept.items() if one.type == "person" and " " in key for part in (key.split(" ")[0], key.split(" ")[-1])}
    for key, one in kept.items():
        if one.rank < Rank.ACT and key in parts:
            one.type = "person"


def _capitalises_nouns(text: str) -> bool:
    """Whether the text looks German, where a capital in mid-sentence proves nothing."""
    different: set[str] = set()
    for word in _SMALL_WORD.finditer(text[:2000]):
        if word[0] in words.GERMAN:
            different.add(word[0])
            if len(different) > 1:
                return True
    return False
