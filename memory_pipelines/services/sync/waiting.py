"""Waiting for one's own write: drain just what it touched, inline, until the projections show it."""

from __future__ import annotations

import time
from collections.abc import Sequence

from memory_pipelines.domain.errors import InvalidInput, MemoryPipelinesError, SyncTimeout, Unavailable
from memory_pipelines.domain.models import PROJECTIONS, Ref, SaveResult, Wait
from memory_pipelines.services.platform import Platform
from memory_pipelines.services.projections import graph
from memory_pipelines.services.projections.projection import MarkerMoved
from memory_pipelines.services.projections.projections import REFS_PER_BATCH, settle, steps


def bring(platform: Platform, results: Sequence[SaveResult], *, wait: Wait, timeout: float | None) -> None:
    """Drain just these writes inline and return when the projections show them, links included; see `MemoryClient.save`."""
    refs = [Ref("memory", result.id) for result in results if result.outcome != "forgotten"]
    bring_refs(platform, [*refs, *(ref for result in results for ref in result.touched)], wait=wait, timeout=timeout)


def bring_refs(platform: Platform, refs: Sequence[Ref], *, wait: Wait, timeout: float | None) -> None:
    """The same, for any subjects."""
    if wait == "none" or not refs:
        return
    if wait not in ("graph", "all"):
        raise InvalidInput("wait_invalid", "`wait` is none, graph or all.")
    deadline = time.monotonic() + (timeout if timeout is not None else platform.settings.sync_budget_seconds)
    needed = ("entities", "graph") if wait == "graph" else PROJECTIONS
    memories = [ref for ref in dict.fromkeys(refs) if ref.kind == "memory"]
    pending = list(dict.fromkeys(refs))
    while True:
        complete, waiting, away = True, [ref.id for ref in memories], ""
        try:
            for projection in needed:
                if projection == "graph":  # another save may have made an entity of ours, and not shown it yet
                    pending = list(dict.fromkeys([*pending, *platform.record.owed_links([ref.id for ref in memories])]))
                paid, touched = _drain_refs(platform, projection, pending)
                complete &= paid
                pending = list(dict.fromkeys([*pending, *touched]))
            waiting = [ref.id for ref in memories if _owes(platform, ref.id, needed)]
        except Unavailable as error:  # the write is in the record: who heard of an outage would save it once more
            complete, away = False, f" {error.message}"
        except MemoryPipelinesError as error:
            error.detail.setdefault("ids", [ref.id for ref in memories][:20])  # saved all the same
            raise
        if complete and not waiting:
            return
        if time.monotonic() >= deadline:
            raise SyncTimeout(
                "sync_timeout", f"The write is saved and owed, but {len(waiting)} of {len(memories)} memories are not yet visible.{away}",
                {"ids": waiting[:20]},
            )  # fmt: skip
        time.sleep(0.2 if away else 0.05)  # another worker has it in hand, or it failed: look again


def _drain_refs(platform: Platform, projection: str, refs: Sequence[Ref]) -> tuple[bool, list[Ref]]:
    """Pay what some subjects owe to one projection. Returns whether all of it was settled, and what is owed because of it."""
    compute, store = steps(projection)
    complete, touched = True, list[Ref]()
    size = REFS_PER_BATCH.get(projection, platform.settings.batch_rows)
    for start in range(0, len(refs), size):
        claim = platform.record.claim(projection, refs=refs[start : start + size], limit=size)
        if claim.rows:
            try:
                batch = compute(platform, claim)
                stored = settle(platform, projection, batch, store(platform, batch))
                complete &= stored.done == len(claim.rows)
                touched.extend(stored.touched)
            except MarkerMoved:
                complete = False
                graph.recover(platform, claim)
    return complete, touched


def _owes(platform: Platform, memory_id: str, projections: Sequence[str]) -> bool:
    state = platform.record.sync_state(memory_id)
    if any(state.projections[name].parked for name in projections):
        raise SyncTimeout("sync_parked", "The write is saved, but a projection has parked it: see its state.", {"ids": [memory_id]})
    return any(state.projections[name].owed for name in projections)
