"""A random history from a seed: what the writers of a trial do, and what each deed must make of a memory.

Lives here: the words, the deeds, and the model that says which states a memory may be in after a deed whose answer is known, or is not.
Texts are made of sentences whose entities and relations are known beforehand (a test holds that against the extractor), so that a checker
can say what the graph must show without asking the product. To add a deed: its maker in `deeds`, its meaning in `outcomes`, its call in
`writer.py`. Must stay out: anything of `memory_pipelines`; the checker imports this.
"""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PEOPLE = ("Ada Brown", "Ben Clark", "Cora Diaz", "Dan Evans", "Eve Foster", "Finn Gray")
PLACES = ("Lisbon", "Oslo", "Vienna")
FIRMS = ("Initech", "Globex")
TYPES = dict.fromkeys(PEOPLE, "person") | dict.fromkeys(PLACES, "place") | dict.fromkeys(FIRMS, "organisation")
PREDICATES = {"met": "met", "wrote to": "wrote_to"}  # as said, as the record keeps them
SLOTS = 26  # memories of one writer
NAMESPACES = ("bench", "other")

Relation = tuple[str, str, str]


@dataclass(frozen=True)
class Content:
    """What a caller said of a memory: its text, metadata as JSON, entities with types (those that only a relation names are things)."""

    text: str
    metadata: str
    entities: tuple[tuple[str, str], ...] = ()
    relations: tuple[Relation, ...] = ()


@dataclass(frozen=True)
class State:
    """What the record may hold of one id. `content` is None for a tombstone; `version` None where no answer has told it."""

    version: int
    content: Content | None


Possible = frozenset[State | None]  # None: the record does not know the id
Deed = dict[str, Any]


def sentence(rng: random.Random, number: int) -> str:
    """A text; `found_in` knows what is in it. The number makes each another text."""
    one, other = rng.sample(PEOPLE, 2)
    kind = rng.randrange(5)
    if kind == 0:
        return f"{number}: nothing of note."
    if kind == 1:
        return f"{number}: today we know that {one} lives in {rng.choice(PLACES)}."
    if kind == 2:
        return f"{number}: it is said that {one} works at {rng.choice(FIRMS)}."
    if kind == 3:
        return f"{number}: we talked with {one} and then with {other}."
    return " ".join(
        f"{number}.{n}: we talked with {rng.choice(PEOPLE)} about the harbour, the weather and the price of fish." for n in range(9)
    )


def found_in(text: str) -> tuple[set[str], set[Relation]]:
    """Names and relations that are in a text of `sentence`."""
    names = {name for name in TYPES if name in text}
    relations = set()
    for phrase, predicate in ((" lives in ", "lives_in"), (" works at ", "works_at")):
        if phrase in text:
            (source,), (target,) = ([n for n in names if n in part] for part in text.split(phrase))
            relations.add((source, predicate, target))
    return names, relations


def deeds(seed: int, writers: int, count: int, *, merges: bool = False) -> list[list[Deed]]:
    """What each writer does, in order. Writers own their memories and share their entities.

    Args:
        count: deeds in all.
        merges: let some of them merge entities; in every third history many.
    """
    rng = random.Random(f"history {seed}")
    often = 0.3 if seed % 3 == 0 else 0.08
    plans: list[list[Deed]] = [[] for _ in range(writers)]
    slots = [[_slot(rng, writer, n) for n in range(SLOTS)] for writer in range(writers)]
    for number in range(count):
        writer = number % writers
        young = number < count // 5
        kind = "save" if young else rng.choices(("save", "many", "update", "forget", "revive", "back"), (30, 8, 28, 20, 8, 6))[0]
        plan, mine = plans[writer], slots[writer]
        slot = mine[rng.randrange(SLOTS)]
        if kind == "many":
            items = [_save(rng, chosen, number * 100 + n) for n, chosen in enumerate(rng.sample(mine, rng.randint(2, 8)))]
            deed: Deed = {"do": "many", "items": items, "revive": rng.random() < 0.3}
        elif kind == "update":
            deed = {"do": "update", "id": slot["id"], "changes": _changes(rng, number)}
        elif kind == "forget":
            by_key = slot["key"] is not None and rng.random() < 0.3
            deed = {"do": "forget", "id": slot["id"], "key": slot["key"] if by_key else None, "namespace": slot["namespace"]}
        elif kind == "back" and any(earlier["do"] == "save" for earlier in plan):  # a state that was there before, word for word
            deed = {**rng.choice([earlier for earlier in plan if earlier["do"] == "save"]), "revive": rng.random() < 0.5}
        else:
            deed = {"do": "save", **_save(rng, slot, number), "revive": kind == "revive" or rng.random() < 0.1}
        if merges and writer == 0 and not young and rng.random() < often:  # by one writer: two could not tell whose came last
            source, target = rng.sample(PEOPLE, 2)
            deed = {"do": rng.choice(("merge", "merge", "unmerge")), "source": source, "target": target, "namespace": slot["namespace"]}
        deed["wait"] = "graph" if rng.random() < 0.02 else "none"
        plan.append(deed | {"n": number})
    return plans


def _slot(rng: random.Random, writer: int, n: int) -> dict[str, Any]:
    made = str(uuid.UUID(int=rng.getrandbits(128), version=4))
    return {"id": made, "key": f"w{writer}-{n}" if n % 2 else None, "namespace": NAMESPACES[n % 7 == 0]}


def _save(rng: random.Random, slot: Mapping[str, Any], number: int) -> dict[str, Any]:
    return {**slot, "text": sentence(rng, number), "metadata": {"n": number} if rng.random() < 0.5 else {}, **_links(rng)}


def _links(rng: random.Random) -> dict[str, Any]:
    if rng.random() < 0.5:
        return {"entities": [], "relations": []}
    names = rng.sample(sorted(TYPES), rng.randint(0, 3))
    source, target = rng.sample(PEOPLE, 2)
    related = [{"source": source, "predicate": rng.choice(tuple(PREDICATES)), "target": target}] if rng.random() < 0.5 else []
    return {"entities": [{"name": name, "type": TYPES[name]} for name in sorted(names)], "relations": related}


def _changes(rng: random.Random, number: int) -> dict[str, Any]:
    kind = rng.randrange(4)
    links = _links(rng)
    if kind == 0:
        return {"metadata": {"changed": number}}
    if kind == 1:
        return {"entities": links["entities"]}
    if kind == 2:
        return {"text": sentence(rng, number), **links}
    return {"text": sentence(rng, number)}


# -- what a deed makes of a memory -------------------------------------------------------------------------------------------


def given(entities: Sequence[Mapping[str, str]], relations: Sequence[Mapping[str, str]]) -> tuple[tuple[Any, ...], tuple[Relation, ...]]:
    """Links as the record keeps them."""
    typed = {entity["name"]: entity["type"] for entity in entities}
    triples = tuple((r["source"], PREDICATES.get(r["predicate"], r["predicate"]), r["target"]) for r in relations)
    for source, _, target in triples:
        typed.setdefault(source, "thing")
        typed.setdefault(target, "thing")
    return tuple(sorted(typed.items())), triples


def content(item: Mapping[str, Any]) -> Content:
    """What a save says."""
    return Content(item["text"], _json(item["metadata"]), *given(item["entities"], item["relations"]))


def changed(before: Content, changes: Mapping[str, Any]) -> Content:
    """What an update makes of a content."""
    links = before.entities, before.relations
    if "entities" in changes or "relations" in changes:
        entities = changes.get("entities", [{"name": name, "type": kind} for name, kind in before.entities])
        kept = [{"source": s, "predicate": p, "target": t} for s, p, t in before.relations]
        links = given(entities, changes.get("relations", kept))
    metadata = _json(changes["metadata"]) if "metadata" in changes else before.metadata
    return Content(changes.get("text", before.text), metadata, *links)


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


Result = tuple[State | None, str, int | None]  # the state after, what the caller hears, and the version that it hears


def after_save(state: State | None, item: Mapping[str, Any], *, revive: bool) -> Result:
    """One save of one item."""
    wanted = content(item)
    if state is None:
        return State(1, wanted), "created", 1
    if state.content == wanted:
        return state, "unchanged", state.version
    if state.content is None and not revive:
        return state, "forgotten", state.version
    outcome = "updated" if state.content is not None else "revived"
    return State(state.version + 1, wanted), outcome, state.version + 1


def after_update(state: State | None, changes: Mapping[str, Any]) -> Result:
    """One update."""
    if state is None:
        return None, "memory_unknown", None
    if state.content is None:
        return state, "memory_forgotten", None
    wanted = changed(state.content, changes)
    if wanted == state.content:
        return state, "unchanged", state.version
    return State(state.version + 1, wanted), "updated", state.version + 1


def after_forget(state: State | None) -> Result:
    """One forget."""
    if state is None:
        return None, "memory_unknown", None
    if state.content is None:
        return state, "0", None
    return State(state.version + 1, None), "1", None


def outcomes(deed: Deed, id_: str, state: State | None) -> Result:
    """What a deed makes of one memory that it names."""
    if deed["do"] == "update":
        return after_update(state, deed["changes"])
    if deed["do"] == "forget":
        return after_forget(state)
    if deed["do"] == "many":
        (item,) = [item for item in deed["items"] if item["id"] == id_]
        return after_save(state, item, revive=deed["revive"])
    return after_save(state, deed, revive=deed["revive"])


def named(deed: Deed) -> Iterator[str]:
    """Ids of the memories that a deed may change."""
    if deed["do"] == "many":
        yield from (item["id"] for item in deed["items"])
    elif deed["do"] not in ("merge", "unmerge"):
        yield deed["id"]
