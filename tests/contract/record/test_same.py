"""The record in memory beside the one on Postgres: the same calls, the same answers and the same errors, but for ids, times and digests.

What hypothesis tells both, and how answers are made comparable. Must stay out: what an answer should be (`test_machine.py`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase
from hypothesis import settings as examples
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from memory_pipelines.domain.errors import MemoryPipelinesError
from memory_pipelines.domain.models import PROJECTIONS, EntityMention, Lease, Links, MemoryInput, Ref, RelationMention, as_json
from memory_pipelines.ports import RecordStore
from tests import records

SPACES = ("one", "two")
KEYS = (None, "k0", "k1")
IDS = tuple(f"00000000-0000-7000-8000-00000000000{n}" for n in range(4))
TEXTS = ("Ada lives in Porto.", "Ben barks at Ada.", "A rainy night.")
METADATA: tuple[dict[str, Any], ...] = ({}, {"a": 1}, {"a": [1, {"b": None}], "c": "x"}, {"a": 1.5, "c": True})
NAMES = ("Ada", "Ada Lovelace", "Ben")
LONG_AGO, FAR_OFF = datetime(2020, 2, 2, tzinfo=UTC), datetime(2199, 1, 1, tzinfo=UTC)
TIMES = st.sampled_from([None, LONG_AGO, LONG_AGO + timedelta(days=1, microseconds=1234)])
EXPIRIES = st.sampled_from([None, None, FAR_OFF, LONG_AGO])
ENTITIES = st.lists(
    st.builds(EntityMention, st.sampled_from(NAMES), st.sampled_from(["person", "thing"])), max_size=2, unique_by=lambda e: e.name
)
RELATIONS = st.lists(st.builds(RelationMention, st.sampled_from(NAMES), st.just("knows"), st.sampled_from(NAMES)), max_size=1)
ITEMS = st.builds(
    lambda text, **fields: MemoryInput(text=text, passages=tuple(text.split(" ", 1)), **fields),
    id=st.sampled_from(IDS), id_given=st.booleans(), namespace=st.sampled_from(SPACES), key=st.sampled_from(KEYS),
    thread=st.sampled_from([None, "t"]), text=st.sampled_from(TEXTS), metadata=st.sampled_from(METADATA),
    source=st.sampled_from([None, "s"]),
    created_at=TIMES, expires_at=EXPIRIES, entities=ENTITIES.map(tuple), relations=RELATIONS.map(tuple),
)  # fmt: skip
CHANGES = st.fixed_dictionaries({}, optional={
    "text": st.sampled_from(TEXTS), "metadata": st.sampled_from(METADATA), "thread": st.sampled_from([None, "t"]),
    "source": st.sampled_from([None, "s"]), "created_at": st.just(LONG_AGO), "expires_at": EXPIRIES, "entities": ENTITIES.map(tuple),
})  # fmt: skip
LATER = (LONG_AGO + timedelta(hours=1)).isoformat()
FILTERS = st.fixed_dictionaries({"namespace": st.sampled_from((*SPACES, "none"))}, optional={
    "thread": st.just("t"), "metadata": st.sampled_from([{"a": 1}, {"a": [1]}, {"a": [{"b": None}]}, {"c": True}]),
    "created_after": st.just(LATER), "created_before": st.just(LATER),
})  # fmt: skip
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TIME = re.compile(r"20[2-9]\d-\d\d-\d\d[T ]\d\d:\d\d:\d\d")
_GIVEN_BEFORE = 1_600_000_000_000  # ms: what a test gives is older
_OWN = {"fence", "until", "dh", "dl", "number", "claim", "issued"}  # each store's own


class Pair(RuleBasedStateMachine):
    """Every rule makes one call of both stores."""

    memory: records.Place
    postgres: records.Place

    @property
    def stores(self) -> tuple[RecordStore, RecordStore]:
        return self.memory.record, self.postgres.record

    @initialize()
    def empty(self) -> None:
        self.memory.wipe()
        self.postgres.wipe()
        self.noted: list[tuple[str, tuple[Any, Any]]] = []
        self.marker = 0
        self.leases: list[dict[RecordStore, Lease]] = []
        for store in self.stores:
            store.generation("toy", 3)

    def same(self, call: Callable[[RecordStore], Any], *, ordered: bool = True) -> tuple[Any, Any]:
        """Make a call of both, compare the answers, and return them."""
        answers = [_attempt(call, store) for store in self.stores]
        shown = [_plain(answer, _names(store)) for answer, store in zip(answers, self.stores, strict=True)]
        if not ordered:
            shown = [sorted(answer, key=_order) if isinstance(answer, list) else answer for answer in shown]
        assert shown[0] == shown[1], "they differ"
        return answers[0], answers[1]

    # -- writing -----------------------------------------------------------------------------------------------------

    @rule(items=st.lists(ITEMS, min_size=1, max_size=3), revive=st.booleans())
    def save(self, items: list[MemoryInput], revive: bool) -> None:
        self.same(lambda store: store.save(items, revive=revive))

    @rule(id_=st.sampled_from(IDS), changes=CHANGES, expected=st.sampled_from([None, None, 1, 2]))
    def update(self, id_: str, changes: dict[str, Any], expected: int | None) -> None:
        whole = dict(changes)
        if "text" in changes:
            whole["passages"] = (changes["text"],)
        self.same(lambda store: store.update(id_, whole, expected_version=expected))

    @rule(ids=st.lists(st.sampled_from(IDS), min_size=1, max_size=2, unique=True))
    def forget(self, ids: list[str]) -> None:
        self.same(lambda store: store.forget(ids=ids))

    @rule(key=st.sampled_from(["k0", "k1", "k9"]), space=st.sampled_from((*SPACES, "none")))
    def forget_key(self, key: str, space: str) -> None:
        self.same(lambda store: store.forget(key=key, namespace=space))

    @rule(space=st.sampled_from((*SPACES, "none")))
    def forget_space(self, space: str) -> None:
        self.same(lambda store: store.forget(namespace=space, limit=100))

    @rule(task=st.sampled_from(["expire", "fold", "dance"]))
    def maintain(self, task: str) -> None:
        self.same(lambda store: store.maintain(task, limit=100))

    # -- entities that are one -----------------------------------------------------------------------------------------

    @rule(space=st.sampled_from((*SPACES, "none")), source=st.sampled_from((*NAMES, "Zoë")), into=st.sampled_from(NAMES))
    def merge(self, space: str, source: str, into: str) -> None:
        self.same(lambda store: store.merge_entities(space, source, into, by="mara"))

    @rule(space=st.sampled_from((*SPACES, "none")), name=st.sampled_from((*NAMES, "Zoë")))
    def unmerge(self, space: str, name: str) -> None:
        self.same(lambda store: store.unmerge_entity(space, name))

    @rule(space=st.sampled_from((*SPACES, "none")), name=st.sampled_from(NAMES), limit=st.sampled_from([1, 10]))
    def read_entity(self, space: str, name: str, limit: int) -> None:
        self.same(lambda store: store.entity(space, name, limit=10))
        (mine, _) = self.same(lambda store: store.aliases(space, limit=limit))
        if isinstance(mine, tuple) and len(mine) == limit:
            rows = dict(zip(self.stores, (store.aliases(space, limit=limit) for store in self.stores), strict=True))
            self.same(lambda store: store.aliases(space, limit=10, after=(rows[store][-1].merged_at.isoformat(), rows[store][-1].id)))

    # -- leases --------------------------------------------------------------------------------------------------------

    @rule(holder=st.sampled_from("ab"), seconds=st.sampled_from([30, 0.000001]), renew=st.booleans(), release=st.booleans())
    def lease(self, holder: str, seconds: float, renew: bool, release: bool) -> None:
        both = self.same(lambda store: store.acquire_lease("x", holder, lease_seconds=seconds))
        if isinstance(both[0], Lease):
            self.leases.append(dict(zip(self.stores, both, strict=True)))
        for held in self.leases[-2:]:
            if renew:
                self.same(lambda store: store.renew_lease(held[store], lease_seconds=seconds))  # noqa: B023  # called at once
            self.same(lambda store: store.maintain("fold", limit=1, lease=held[store]))  # noqa: B023  # called at once
            if release:
                self.same(lambda store: store.release_lease(held[store]))  # noqa: B023  # called at once

    # -- dead letters --------------------------------------------------------------------------------------------------

    @rule(named=st.lists(st.sampled_from(IDS), max_size=2, unique=True), projection=st.sampled_from(PROJECTIONS), accept=st.booleans())
    def retry(self, named: list[str], projection: str, accept: bool) -> None:
        letters = [(projection, "memory", id_) for id_ in named]
        if letters:
            self.same(lambda store: store.retry_dead(letters=letters, limit=1000, accept_empty=accept))
        else:
            self.same(lambda store: store.retry_dead(projection=projection, limit=1000, accept_empty=accept))

    @rule(projection=st.sampled_from(PROJECTIONS), ids=st.lists(st.sampled_from(IDS), min_size=1, max_size=2))
    def give_up(self, projection: str, ids: list[str]) -> None:
        self.same(lambda store: store.drop_dead([(projection, "memory", id_) for id_ in ids]))

    @rule(projection=st.sampled_from(PROJECTIONS), id_=st.sampled_from((*IDS, "no uuid")))
    def read_letters(self, projection: str, id_: str) -> None:
        self.same(lambda store: store.dead_letters(limit=1000)["letters"], ordered=False)
        self.same(lambda store: store.dead_letters(projection=projection, limit=1000)["letters"], ordered=False)
        self.same(lambda store: store.dead_letters(id=id_, limit=1000)["letters"], ordered=False)

    @rule(
        projection=st.sampled_from(PROJECTIONS),
        entries=st.lists(st.sampled_from(["1-1", "1-2"]), min_size=1, max_size=3),
        drop=st.booleans(),
    )
    def strange_entries(self, projection: str, entries: list[str], drop: bool) -> None:
        self.same(lambda store: store.park_events(projection, [{"entry": e, "payload": "{}", "problem": "odd"} for e in entries]))
        pages = self.same(lambda store: [{**row, "id": 0} for row in store.dead_events(limit=1000)["events"]])
        assert pages[0]
        if drop:
            self.same(
                lambda store: store.drop_events([row["id"] for row in store.dead_events(projection=projection, limit=1000)["events"]])
            )

    # -- the ledger --------------------------------------------------------------------------------------------------

    @rule(projection=st.sampled_from(PROJECTIONS), ids=st.none() | st.lists(st.sampled_from((*IDS, "no uuid")), max_size=2))
    def claim(self, projection: str, ids: list[str] | None) -> None:
        refs = None if ids is None else [Ref("memory", id_) for id_ in ids]
        since = 0 if ids is None else None
        both = self.same(lambda store: store.claim(projection, refs=refs, limit=1000, owed_for_seconds=since))
        if both[0].rows:
            self.noted.append((projection, both))

    @rule(back=st.integers(0, 3), marker=st.integers(0, 1), links=ENTITIES)
    def settle(self, back: int, marker: int, links: list[EntityMention]) -> None:
        if not self.noted:
            return
        projection, both = self.noted[-1 - back % len(self.noted)]
        self.marker += marker
        claims = dict(zip(self.stores, both, strict=True))
        if projection == "graph":
            self.same(lambda store: store.settle_graph(
                [_row(row) | {"revision": 1, "marker": max(self.marker, 1)} for row in claims[store].rows], claim=claims[store].claim,
                markers=[max(self.marker, 1)],
            ))  # fmt: skip
        elif projection == "entities":
            found = Links(tuple(links))
            self.same(lambda store: store.store_links([_row(row) | {"links": found} for row in claims[store].rows]), ordered=False)
        else:
            self.same(lambda store: _embed(store, claims[store].rows))

    @rule(back=st.integers(0, 3), final=st.booleans(), charge=st.sampled_from([{}, {"code": "odd", "tokens": 5}]))
    def fail(self, back: int, final: bool, charge: dict[str, Any]) -> None:
        if self.noted:
            projection, both = self.noted[-1 - back % len(self.noted)]
            claims = dict(zip(self.stores, both, strict=True))
            self.same(lambda store: store.fail(
                projection, [_charged(row) | {"final": final, **charge} for row in claims[store].rows], max_attempts=1
            ))  # fmt: skip

    @rule(rows=st.lists(st.fixed_dictionaries(
        {"projection": st.sampled_from(PROJECTIONS), "kind": st.just("memory"), "id": st.sampled_from(IDS)},
        optional={"forced": st.integers(1, 3), "hint": st.just({"recut": True})},
    ), min_size=1, max_size=2, unique_by=lambda row: (row["projection"], row["id"])))  # fmt: skip
    def owe(self, rows: list[dict[str, Any]]) -> None:
        self.same(lambda store: store.owe(rows))

    @rule(projection=st.sampled_from(PROJECTIONS))
    def rebuild(self, projection: str) -> None:
        self.same(lambda store: store.owe_shard(projection, 0, 1))

    @rule(below=st.integers(0, 2))
    def lose(self, below: int) -> None:
        self.same(lambda store: store.owe_lost(max(self.marker - below, 0)))

    # -- reading -----------------------------------------------------------------------------------------------------

    @rule(filters=FILTERS, limit=st.integers(1, 4), paged=st.booleans())
    def list(self, filters: dict[str, Any], limit: int, paged: bool) -> None:
        (mine, _) = self.same(lambda store: store.page({**filters, "limit": limit}))
        if paged and mine and not isinstance(mine, MemoryPipelinesError) and mine[-1].created_at.year < 2026:
            after = [mine[-1].created_at.isoformat(), mine[-1].id]
            self.same(lambda store: store.page({**filters, "limit": limit, "after": after}))

    @rule(
        filters=FILTERS,
        vector=st.sampled_from([None, "[1,0,0]", "[0.6,0.8,0]", "[1,0]"]),
        query=st.sampled_from(["?", "barks", "the night"]),
    )
    def search(self, filters: dict[str, Any], vector: str | None, query: str) -> None:
        """Which are found, and how often; ranks among equals are each store's own."""
        asked = {**filters, "query": query if vector is None else "?", "vector": vector, "limit": 50, "exact": 5000}
        self.same(lambda store: sorted(hit.id for hit in store.search(asked)))

    @rule(space=st.sampled_from((*SPACES, "none")), name=st.sampled_from((*NAMES, "lace", "ADA", "Zoë")))
    def find_entity(self, space: str, name: str) -> None:
        self.same(lambda store: store.find_entity(space, name, None))

    @rule(id_=st.sampled_from((*IDS, "no uuid")))
    def read(self, id_: str) -> None:
        for call in ("get", "history", "sync_state"):
            self.same(lambda store: getattr(store, call)(id=id_))  # noqa: B023  # called at once
        if id_ in IDS:
            self.same(lambda store: store.get_many([id_, IDS[0]]))
            self.same(lambda store: store.owed_links([id_]), ordered=False)

    @invariant()
    def both_hold_the_same(self) -> None:
        self.same(lambda store: store.counts())
        self.same(lambda store: store.namespaces())
        self.same(lambda store: store.status(30))
        for kind in ("memory", "entity", "mention", "relation"):
            self.same(lambda store: store.audit_expected(kind, buckets=(0, 4096)), ordered=False)  # noqa: B023  # called at once
        self.same(lambda store: sorted(row[:2] for row in store.audit_sums("memory")))
        self.same(lambda store: sorted(row[:3] for row in store.audit_sums("memory", buckets=range(4096))))
        self.same(lambda store: store.audit_expected("memory", ids=[*IDS, "no uuid"]), ordered=False)
        self.same(lambda store: store.audit_embeddings(after=None, limit=1000)["findings"], ordered=False)
        self.same(lambda store: store.audit_embeddings(after=None, limit=1), ordered=False)
        self.same(lambda store: store.audit_ledger(budget_seconds=600)["findings"], ordered=False)


def _attempt(call: Callable[[RecordStore], Any], store: RecordStore) -> Any:
    try:
        return call(store)
    except MemoryPipelinesError as error:
        return error


def _embed(store: RecordStore, rows: Any) -> Any:
    body = [_row(row) | {"vectors": 0 if _state(row)["deleted"] else len(_state(row)["passages"])} for row in rows]
    return store.store_embeddings(body, [[0.6, 0.8, 0.0]] * sum(row["vectors"] for row in body), generation=store.generation("toy", 3))


def _state(row: Any) -> dict[str, Any]:
    return dict(row.state or {"deleted": True, "version": 0, "passages": []})


def _row(row: Any) -> dict[str, Any]:
    return {"kind": row.kind, "id": row.id, "number": row.number, "version": _state(row)["version"]}


def _charged(row: Any) -> dict[str, Any]:
    return _row(row) | {"revision": _state(row).get("revision"), "error": "odd"}


def _charged(row: Any) -> dict[str, Any]:
    return _row(row) | {"revision": _state(row).get("revision"), "error": "odd"}


def _names(store: RecordStore) -> dict[str, str]:
    """What to call the ids that a store has made itself; a dead subject has none, whoever it was."""
    names = {}
    for row in store.audit_expected("entity", buckets=(0, 4096)):
        names[row["id"]] = f"{row['props']['name']} of {row['props']['namespace']}"
    for row in store.audit_expected("relation", buckets=(0, 4096)):
        names[row["id"]] = f"{names[row['source']]} knows {names[row['target']]}"
    return names


def _order(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _plain(answer: Any, names: dict[str, str]) -> Any:
    """An answer as both stores must give it."""
    if isinstance(answer, MemoryPipelinesError):
        facts = answer.detail if answer.code != "value_invalid" else {}
        return {"error": type(answer).__name__, "code": answer.code, "detail": _plain(facts, names)}
    value = as_json(answer)
    if isinstance(value, dict):
        shown = {}
        for name, item in value.items():
            if name in _OWN or name.endswith("_seconds") or name in ("newest_number", "first_ready"):
                shown[name] = None if item is None else "…"
            elif name in ("bucket", "leaf"):  # of an id that the store made itself, anything
                shown[name] = item if value["id"] in IDS else "…"
            elif name == "created_at" and isinstance(item, int):
                shown[name] = "a time" if item > _GIVEN_BEFORE else item
            elif name == "rows":  # owed at the same moment by one call, entities come in the order of their ids
                shown[name] = sorted((_plain(row, names) for row in item), key=_order)
            elif name in ("touched", "done", "memories", "ids") and isinstance(item, list):
                shown[name] = sorted((_plain(ref, names) for ref in item), key=_order)
            elif name == "mentions" and isinstance(item, str):
                shown[name] = sorted(_plain(part.split(" ")[0], names) for part in item.split(";"))
            else:
                shown[name] = _plain(item, names)
        return shown
    if isinstance(value, list):
        return [_plain(item, names) for item in value]
    if isinstance(value, str):
        if _TIME.match(value) and not value.startswith("2020"):
            return "a time"
        return _ID.sub(lambda found: found[0] if found[0] in IDS else names.get(found[0], "a subject"), value)
    return value


@pytest.fixture
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[records.Place, records.Place]]:
    with records.memory(request) as memory, records.psycopg(request) as postgres:
        yield memory, postgres


def test_both_give_the_same_answers_to_any_calls(pair: tuple[records.Place, records.Place]) -> None:
    machine = type("Machine", (Pair,), {"memory": pair[0], "postgres": pair[1]})
    run_state_machine_as_test(
        machine,
        settings=examples(
            max_examples=10, stateful_step_count=30, deadline=None, derandomize=True, database=None,
            suppress_health_check=list(HealthCheck), phases=(Phase.generate,),  # told whole: to shorten a story takes minutes
        ),
    )  # fmt: skip
