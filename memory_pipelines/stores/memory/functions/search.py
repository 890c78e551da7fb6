"""Search: vectors and words, each ranked on its own, fused by reciprocal rank.

Words are compared without their endings, by Harman's S stemmer ("How effective is suffixing?", JASIS 1991) and two rules for verbs:
what Postgres' dictionary does is more, so ranks may differ from its. Must stay out: filters (`reading.passes`).
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from typing import Any

from memory_pipelines.stores.memory.functions.base import Payload, iso
from memory_pipelines.stores.memory.functions.embeddings import nearest
from memory_pipelines.stores.memory.functions.reading import known_namespace, passes
from memory_pipelines.stores.memory.tables import Tables

_WORD = re.compile(r"[^\W_]+")
_STOP_WORDS = """
    a about am an and any are as at be been being but by can did do does doing for from had has have having he her here hers him his
    how i if in into is it its just me more most my no nor not now of on or other our ours out over own s same she should so some such
    t than that the their theirs them then there these they this those to too under until up very was we were what when where which
    while who whom why will with you your yours
"""
_STOP = frozenset(_STOP_WORDS.split())
_VERB = re.compile(r"(?<=\w{3})(?:ing|ed)$")
_DAMPING = 60  # Cormack, Clarke & Büttcher, SIGIR 2009


def memory_search_v1(tables: Tables, p: Payload) -> Any:
    """The hits of a search, best first."""
    known_namespace(tables, p["namespace"])
    most = max(p["limit"] * 2, 30)
    arms = [_worded(tables, p), _near(tables, p)]
    scores: defaultdict[str, float] = defaultdict(float)
    best: dict[str, tuple[int, int]] = {}
    for arm in arms:  # of equal ranks, the passage that holds the words
        for rank, (id_, passage) in enumerate(list(arm.items())[:most], 1):
            scores[id_] += 1.0 / (_DAMPING + rank)
            best[id_] = min(best.get(id_, (rank, passage)), (rank, passage), key=lambda seen: seen[0])
    return [_hit(tables, id_, best[id_][1], scores[id_]) for id_ in sorted(scores, key=lambda id_: (-scores[id_], id_))[: p["limit"]]]


def _near(tables: Tables, p: Payload) -> dict[str, int]:
    """Visible memories by their nearest passage, best first."""
    found: dict[str, int] = {}
    for row in nearest(tables, "memory", p["namespace"], p["vector"]) if p.get("vector") is not None else ():
        if passes(tables, tables.memories[row.id], p):
            found.setdefault(row.id, row.passage)
    return found


def _worded(tables: Tables, p: Payload) -> dict[str, int]:
    """Visible memories by the passage that holds most words of the question, best first."""
    asked = set(stems(p["query"]))
    ranked = []
    for row in tables.passages.having("namespace", p["namespace"]) if asked else ():
        held = Counter(stem for stem in stems(row.text) if stem in asked)
        if held and passes(tables, tables.memories[row.memory], p):
            ranked.append((-len(held), -sum(held.values()), row.memory, row.ordinal))
    found: dict[str, int] = {}
    for _, _, id_, ordinal in sorted(ranked):
        found.setdefault(id_, ordinal)
    return found


def stems(text: str) -> list[str]:
    """The words of a text that say something, without their endings."""
    return [_stem(word) for word in _WORD.findall(text.lower()) if word not in _STOP]


def _stem(word: str) -> str:
    if word.endswith("ies") and not word.endswith(("eies", "aies")):
        word = word[:-3] + "y"
    elif word.endswith("s") and not word.endswith(("us", "ss", "aes", "ees", "oes")):
        word = word[:-1]
    return _VERB.sub("", word).removesuffix("e")


def _hit(tables: Tables, id_: str, passage: int, score: float) -> Payload:
    row, matched = tables.memories[id_], tables.passages.get((id_, passage))
    return {
        "id": id_, "namespace": row.namespace, "key": row.key, "thread": row.thread, "text": row.text,
        "passage": "" if matched is None else matched.text, "score": score, "created_at": iso(row.created_at), "metadata": row.metadata,
    }  # fmt: skip
