"""Deliberately broken builds: each takes one safeguard away, while a trial runs and nowhere else. The bench must catch every one.

Lives here: what each breaks, and which faults show it. `patch` changes what the processes of a trial have imported, `install` the SQL
functions of the stack's own database; the product's files stay as they are. A safeguard that is no longer where a mutant looks for it is an
error, never a mutant that changes nothing. To add one: an entry in `MUTANTS`. Must stay out: anything that could be left behind.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.faults.stack import Stack
from memory_pipelines.services import events
from memory_pipelines.services.audit import comparison
from memory_pipelines.services.projections import graph
from memory_pipelines.stores.graph.statements import statements
from memory_pipelines.stores.graph.store import CypherGraph
from memory_pipelines.stores.postgres.store import PostgresRecord
from memory_pipelines.stores.redis.streams import RedisStream


def _nothing() -> None:
    pass


def _intact(ground: Stack) -> None:
    del ground


@dataclass(frozen=True)
class Mutant:
    """A broken build: what it breaks, and the faults that show it."""

    breaks: str
    shown_by: tuple[str, ...]
    patch: Callable[[], None] = _nothing
    install: Callable[[Stack], None] = _intact


def _cypher(old: str, new: str) -> None:
    """Replace a condition in every statement of the batches that has it."""
    found = statements("batches")
    changed = {name: text.replace(old, new) for name, text in found.items()}
    assert changed != found, f"no statement of the batches says {old!r} any more: this mutant breaks nothing"
    found.update(changed)


def guard_off() -> None:
    """Whatever comes is written, however old."""
    for name in ("m", "e"):
        _cypher(f"coalesce(toInteger({name}.revision), -1) <= r.revision", "true")
    _cypher("newest <= r.revision", "true")


def guard_strict() -> None:
    """What the graph has already is refused, so that nothing can be applied again."""
    for name in ("m", "e"):
        _cypher(f"coalesce(toInteger({name}.revision), -1) <= r.revision", f"coalesce(toInteger({name}.revision), -1) < r.revision")
    _cypher("newest <= r.revision", "newest < r.revision")


def marker_off() -> None:
    """Nobody looks at the counter: a graph that was put back is not noticed."""
    _cypher("coalesce(k.counter, 0) >= $settled", "true")
    graph.recover = lambda platform, claim=None: 0  # noqa: ARG005  # the signature
    graph.behind = lambda platform, settled_marker: False  # noqa: ARG005


def fence_off() -> None:
    """Tombstones are purged, and a worker that slept meanwhile may still write."""
    real = CypherGraph.raise_fence

    def raise_fence(self: CypherGraph, claim: int) -> None:
        if claim >= graph._NEVER:
            real(self, claim)

    CypherGraph.raise_fence = raise_fence  # type: ignore[method-assign]


def acknowledge_first() -> None:
    """A batch is settled, and its entries are acknowledged, before the graph has it."""
    apply, read = graph.apply, RedisStream.read

    def settled_first(platform: Any, batch: Any) -> Any:
        rows = [
            {"kind": row.kind, "id": row.id, "number": row.number, "revision": (row.state or {}).get("revision", 0),
             "version": (row.state or {}).get("version", 0), "marker": None}
            for row in batch.claim.rows
        ]  # fmt: skip
        platform.record.settle_graph(rows, claim=batch.claim.claim, markers=[])
        return apply(platform, batch)

    def acknowledged_first(self: RedisStream, group: str, consumer: str, *, count: int, block_ms: int) -> Any:
        entries = read(self, group, consumer, count=count, block_ms=block_ms)
        self.acknowledge(group, [entry.id for entry in entries])
        return entries

    graph.apply = settled_first
    RedisStream.read = acknowledged_first  # type: ignore[method-assign]


def ledger_outside() -> None:
    """A save commits the memory, and only then, in a transaction of its own, what is owed because of it."""
    real, publish = PostgresRecord.save, events.publish
    unpaid: list[dict[str, Any]] = []

    def save(self: PostgresRecord, memories: Any, *, revive: bool = False) -> Any:
        results = real(self, memories, revive=revive)
        written = [result for result in results if result.outcome in ("created", "updated", "revived")]
        refs = {ref for result in results for ref in result.touched}
        rows = [{"projection": p, "kind": "memory", "id": r.id} for r in written for p in ("entities", "embeddings", "graph")]
        rows += [{"projection": "graph", "kind": ref.kind, "id": ref.id} for ref in refs if ref.kind != "memory"]
        rows += [{"projection": "embeddings", "kind": "entity", "id": ref.id} for ref in refs if ref.kind == "entity"]
        unpaid.extend(rows)
        return results

    def owe_and_publish(platform: Any, refs: Any) -> bool:
        if unpaid:
            platform.record.owe(unpaid)
            unpaid.clear()
        return publish(platform, refs)

    PostgresRecord.save = save  # type: ignore[method-assign]
    events.publish = owe_and_publish


_NO_LEDGER = """
create or replace function memory.mutant_forgets() returns trigger language plpgsql as $$
begin
  if current_query() like '%memory_save_v1%' then
    return case when tg_op = 'INSERT' then null else old end;
  end if;
  return new;
end $$;
create or replace trigger mutant_forgets before insert or update on memory.ledger for each row execute function memory.mutant_forgets();
"""


def _install_no_ledger(ground: Stack) -> None:
    with ground.record() as connection:
        connection.execute(_NO_LEDGER.encode())


def _install_settle_by_version(ground: Stack) -> None:
    """The graph's debts are settled when the version that was written is the present one, whatever has been owed since."""
    with ground.record() as connection:
        row = connection.execute("select pg_get_functiondef('public.memory_settle_graph_v1(text)'::regprocedure)").fetchone()
        assert row is not None
        present = (
            "l.owed_number is not null and {0}.version = (select x.v from (select id, version as v from memory.memories"
            " union all select id, revision from memory.entities union all select id, revision from memory.relations) x"
            " where x.id::text = l.id)"
        )
        changed = str(row[0])
        for name in ("r", "f"):
            assert f"l.owed_number = {name}.number" in changed, "settling no longer compares numbers: this mutant breaks nothing"
            changed = changed.replace(f"l.owed_number = {name}.number", present.format(name))
        connection.execute(changed.encode())


def blind_to_edges() -> None:
    """The audit looks at memories and entities alone."""
    confirm = comparison.confirm

    def confirm_nodes(platform: Any, kind: str, candidates: Any) -> Any:
        return confirm(platform, kind, candidates) if kind in ("memory", "entity") else ([], set())

    comparison.confirm = confirm_nodes


MUTANTS: dict[str, Mutant] = {
    "guard-off": Mutant("an older revision overwrites a newer one in the graph", ("frozen past its lease before the graph",), guard_off),
    "guard-strict": Mutant("an equal revision is refused (`>` for `>=`)", ("killed at graph.applied",), guard_strict),
    "settle-by-version": Mutant(
        "a debt that came meanwhile is settled too, if the version is the same", ("held up between apply and settle",),
        install=_install_settle_by_version,
    ),
    "acknowledge-first": Mutant("settled and acknowledged before it is applied", ("killed at graph.applying",), acknowledge_first),
    "ledger-outside": Mutant(
        "memory and debt are two transactions", ("killed at save.committed",), ledger_outside, _install_no_ledger
    ),
    "marker-off": Mutant(
        "a graph that was emptied or put back is not noticed", ("graph wiped", "graph put back to an older snapshot"), marker_off
    ),
    "fence-off": Mutant("a worker that slept through a purge writes what was deleted", ("frozen past a purge",), fence_off),
    "audit-blind-to-edges": Mutant("the audit does not compare mentions and relations", ("edges cut from outside",), blind_to_edges),
}  # fmt: skip
