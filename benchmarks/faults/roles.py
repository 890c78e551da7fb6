"""What the children of a trial do: write, drain, and keep house.

To add a role: a class with `__call__(seat)`. Must stay out: faults but for the one that a child is told to commit on itself (`Armed`).
"""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.faults import writer
from benchmarks.faults.crew import Seat
from benchmarks.faults.history import Deed
from memory_pipelines import MemoryClient, Settings
from memory_pipelines.domain import failpoints
from memory_pipelines.domain.errors import MemoryPipelinesError
from memory_pipelines.domain.models import PROJECTIONS
from memory_pipelines.models.extractors.rules import RulesExtractor
from memory_pipelines.ports import Extraction
from memory_pipelines.services import maintenance
from memory_pipelines.services.sync import drains
from memory_pipelines.stores.postgres.psycopg_transport import PsycopgTransport

_IDLE_SECONDS = 0.02
_JUMPY_SECONDS = 0.002


@dataclass(frozen=True)
class Armed:
    """A point at which a child kills or freezes itself."""

    point: str
    times: int = 1
    deed: failpoints.Deed = "kill"


def _arm(armed: Armed | None) -> None:
    if armed is not None:
        failpoints.arm(armed.point, armed.times, armed.deed)


def _wear_a_clock(seat: Seat) -> None:
    """Let the parent put this process's clocks forward or back, those of the wall and the monotonic one."""
    real = {name: getattr(time, name) for name in ("time", "monotonic", "time_ns", "monotonic_ns")}

    def moved(name: str, scale: int) -> Any:
        return lambda: real[name]() + seat.jump_ms * scale / 1000 if scale == 1 else real[name]() + seat.jump_ms * scale

    for name in real:
        setattr(time, name, moved(name, 1_000_000 if name.endswith("_ns") else 1))


@dataclass(frozen=True)
class Writer:
    """Does deeds from the `first`."""

    settings: Settings
    deeds: Sequence[Deed]
    log: Path
    armed: Armed | None = None
    clock: bool = False
    pause_seconds: float = 0.0

    def __call__(self, seat: Seat) -> None:
        if self.clock:
            _wear_a_clock(seat)
        _arm(self.armed)

        def done(n: int) -> None:
            seat.progress = n
            if self.pause_seconds:
                time.sleep(self.pause_seconds)

        writer.write(MemoryClient.from_env(self.settings), self.deeds, writer.Log(self.log), done)


@dataclass(frozen=True)
class Worker:
    """Drains every projection, over and over, as a long-lived worker does."""

    settings: Settings
    armed: Armed | None = None
    clock: bool = False
    holder: str | None = None
    """A name that it shares with others, against all rules."""
    stumbles: bool = False
    """Its extractor fails now and then at a text, and manages it the next time."""
    order: tuple[str, ...] = PROJECTIONS
    patience_seconds: float = 3.0

    def __call__(self, seat: Seat) -> None:
        if self.clock:
            _wear_a_clock(seat)
        if self.holder is not None:
            _call_oneself(self.holder)
        if self.stumbles:
            _stumble()
        _arm(self.armed)
        drains._PATIENCE_SECONDS = self.patience_seconds  # an outage of a trial is short, and so is what it is borne
        client = MemoryClient.from_env(self.settings)
        while not seat.stop:
            done = 0
            for projection in self.order:
                try:
                    done += drains.drain(client._platform, projection, quiet_seconds=0.0, should_stop=lambda: bool(seat.stop)).done
                except MemoryPipelinesError:
                    seat.failures += 1  # all of it is owed still: the next round is the retry
                    time.sleep(_IDLE_SECONDS)
            seat.rounds += 1
            if not done:
                time.sleep(_IDLE_SECONDS)


def _stumble() -> None:
    """Of every seventh text, the first extraction fails, for a reason of the text's own."""
    real = RulesExtractor.extract
    failed: set[str] = set()

    def extract(self: RulesExtractor, texts: Sequence[str]) -> list[Extraction]:
        results = real(self, texts)
        for n, text in enumerate(texts):
            if text not in failed and zlib.crc32(text.encode()) % 7 == 0:
                failed.add(text)
                results[n] = Extraction(None, "it stumbled")
        return results

    RulesExtractor.extract = extract  # type: ignore[method-assign]


def _call_oneself(holder: str) -> None:
    """Whatever name this process thinks it has, it tells the record another."""
    real = PsycopgTransport.call

    def call(self: PsycopgTransport, function: str, payload: Any) -> Any:
        return real(self, function, {**payload, "holder": holder} if payload.get("holder") else payload)

    PsycopgTransport.call = call  # type: ignore[method-assign]


@dataclass(frozen=True)
class Keeper:
    """Keeps house: audits, repairs, maintenance, rebuilds, over and over until it is asked to stop or has done so many rounds."""

    settings: Settings
    chores: tuple[str, ...]
    armed: Armed | None = None
    rounds: int = 1_000_000

    def __call__(self, seat: Seat) -> None:
        _arm(self.armed)
        client = MemoryClient.from_env(self.settings)
        while not seat.stop and seat.rounds < self.rounds:
            for chore in self.chores:
                try:
                    self._do(client, chore)
                except MemoryPipelinesError:
                    seat.failures += 1
            seat.rounds += 1
            time.sleep(_JUMPY_SECONDS)

    def _do(self, client: MemoryClient, chore: str) -> None:
        if chore == "maintain":
            maintenance.maintain(client._platform)
        elif chore == "rebuild":
            client.rebuild("graph")
        elif chore == "adopt":
            for namespace in client.status().counts["namespaces"]:
                client.set_policy(namespace, "adopt")
        elif chore == "drop":
            client.rebuild("graph", drop=True)
        else:
            client.audit(deep=chore.startswith("deep"), repair=chore.endswith("repair"))


def warm() -> None:
    """Import and load what the children need, once, with no thread left behind."""
    import gc
    import os

    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    from memory_pipelines.models.embedders.wordllama import WordLlamaEmbedder
    from memory_pipelines.models.extractors.rules import RulesExtractor
    from memory_pipelines.stores.graph.statements import statements

    WordLlamaEmbedder().embed(["warm"])
    RulesExtractor().extract(["Warm it is in Lisbon."])
    for subject in ("batches", "marker", "audit", "reading", "schema/falkordb", "schema/neo4j"):
        statements(subject)
    assert threading.active_count() == 1, f"cannot fork beside {[thread.name for thread in threading.enumerate()]}"
    gc.collect()
    gc.freeze()
