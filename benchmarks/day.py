"""A day in minutes with `memory-pipelines dev`: bursts of writes, outages, poison, drift, audits, repairs, and what Dagster did about them.

Everything is real: the engines, Dagster's webserver and daemon, its sensors and jobs; the extractor is asked over a real socket, so that it
can fail. Only the clock is made up: the audits are the schedules' own jobs, launched when the day comes to them. The graph has a home of
its own and a URL, because what is embedded is started again by whoever opens it, and an outage must last.

`python -m benchmarks day --stay` leaves all of it running afterwards, to be looked at, until Ctrl-C. To add something that happens: a
method of `Day`, and a line in `Day.plan`.
"""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import redis
from rich.console import Console
from rich.table import Table

from benchmarks import lag
from memory_pipelines import MemoryClient, embedded
from memory_pipelines.config import Settings, load
from memory_pipelines.domain.models import PROJECTIONS, Projection
from memory_pipelines.services.platform import Platform
from memory_pipelines.services.sync import sync
from memory_pipelines.stores.graph.falkor_transport import FalkorTransport
from memory_pipelines.wiring import open_platform
from tests.openai_server import KEY, Fault, OpenAIServer

PORT = 3078
LIMIT_SECONDS = 120.0
_POLL_SECONDS = 0.25
_SPACES = ("diary", "team", "notes")
_NAMES = ("Ada", "Babbage", "Mara", "Tomas", "Lisbon", "Porto", "Greenwich", "London")
_POISON = "Nobody can read this: poison."
_BREAKS = (
    "MATCH (m:Memory {namespace: 'diary'}) WITH m ORDER BY m.id LIMIT 4 DETACH DELETE m",
    "MATCH (m:Memory {namespace: 'team'}) WITH m ORDER BY m.id LIMIT 3 SET m.revision = m.revision - 1, m.digest_low = 0",
    "MATCH (m:Memory {namespace: 'team'})-[n:MENTIONS]->() WITH n ORDER BY n.id LIMIT 5 DELETE n",
    "CREATE (:Memory {id: '00000000-0000-7000-8000-000000000001', namespace: 'diary', revision: 1, bucket: 1, leaf: 1})",
)
T = TypeVar("T")


@dataclass
class Moment:
    """One line of the timeline: what was done at a time of the day, and what Dagster had finished by the end of it."""

    clock: str
    at: float
    what: str
    outcome: str = ""
    runs: Counter[tuple[str, str]] = field(default_factory=Counter)
    checks: Counter[str] = field(default_factory=Counter)


@dataclass
class Day:
    """What happens, hour by hour; each method returns in words what came of it."""

    settings: Settings
    platform: Platform
    client: MemoryClient
    model: OpenAIServer
    graph_home: Path
    instance: Any
    console: Console
    moments: list[Moment] = field(default_factory=list)
    _counted: set[str] = field(default_factory=set)
    _saved: int = 0

    def plan(self) -> list[tuple[str, str, Callable[[], str]]]:
        """Time of day, what is done, and who does it."""
        return [
            ("07:00", "60 memories in three namespaces", lambda: self.write(60)),
            ("08:17", "audit_hourly is due", lambda: self.audit("audit_incremental")),
            ("08:30", "20 updates, 5 forgotten, 40 new", self.change),
            ("09:30", "the extractor answers 503, 10 writes", self.extractor_outage),
            ("11:00", "the graph is killed, 40 writes, an audit in between", self.graph_outage),
            ("12:30", "Redis is emptied, 30 writes", self.empty_redis),
            ("13:17", "audit_hourly is due", lambda: self.audit("audit_incremental")),
            ("14:00", "drift: raw Cypher loses, ages, unlinks, invents rows", self.drift),
            ("14:40", "audit_daily is due", lambda: self.audit_and_repair("audit_quick")),
            ("15:30", "a person renames an entity in the graph (namespace `team` adopts)", self.curate),
            ("16:30", "audit_weekly is due", lambda: self.audit_and_repair("audit_deep")),
            ("17:10", "a text comes that the extractor refuses, among 10 others", self.poison),
            ("17:30", "a person has dead letters tried again", lambda: self.launch("dead_letters", then=self.settle)),
            ("18:17", "audit_hourly is due", lambda: self.audit("audit_incremental")),
            ("03:00", "maintenance_nightly is due", lambda: self.launch("maintenance")),
            ("04:30", "audit_weekly once more", lambda: self.audit("audit_deep")),
            ("05:00", "the repair sensor looks at what was parked", self.left_alone),
        ]

    # -- what happens --------------------------------------------------------------------------------------------------

    def write(self, count: int, *, settle: bool = True) -> str:
        """Save in bursts, as agents do."""
        for start in range(0, count, 10):
            rows = [self.row(self._saved + start + number) for number in range(min(10, count - start))]
            self.client.save_many(rows)
        self._saved += count
        return self.settle() if settle else f"{count} saved"

    def row(self, number: int) -> dict[str, Any]:
        one, other, place = (_NAMES[(number * step + shift) % len(_NAMES)] for step, shift in ((1, 0), (3, 1), (5, 2)))
        return {
            "text": f"{one} met {other} near {place}, note {number}.",
            "key": f"note-{number}",
            "namespace": _SPACES[number % len(_SPACES)],
        }

    def change(self) -> str:
        """Write the first memories anew, forget some, add more."""
        for number in range(20):
            row = self.row(number)
            self.client.save(f"{row['text']} They met again.", key=row["key"], namespace=row["namespace"])
        for number in range(20, 25):
            row = self.row(number)
            self.client.forget(key=row["key"], namespace=row["namespace"])
        return self.write(40)

    def extractor_outage(self) -> str:
        """The extractor fails until its breaker is open, then answers again."""
        fault = Fault(status=503, again=True)
        self.model.faults.append(fault)
        self.write(10, settle=False)
        self.until(lambda: self.finished("sync_entities", "FAILURE"), "a drain of the entities fails")
        self.model.faults.remove(fault)
        return f"breaker opened; {self.settle()}"

    def graph_outage(self) -> str:
        """Killed while a burst is written; an audit cannot look meanwhile; the same engine comes back."""
        pid = embedded.status(self.graph_home)["graph"].pid
        os.kill(pid or 0, signal.SIGKILL)
        self.write(20, settle=False)
        self.until(lambda: self.client.status().breakers["graph"]["mode"] != "closed", "the graph's breaker opens")
        self.write(20, settle=False)
        self.launch("audit_quick")
        owed = self.client.status().owed["graph"]
        embedded.up(self.graph_home, ["graph"])
        return f"{owed} were owed to the graph; {self.settle()}"

    def empty_redis(self) -> str:
        """Events, breakers and all."""
        self.write(20, settle=False)
        with redis.Redis.from_url(embedded.addresses(self.settings.home_path).redis_url) as server:
            server.flushall()
        return self.write(10)

    def drift(self) -> str:
        """Behind everybody's back."""
        with self.cypher() as graph:
            for statement in _BREAKS:
                graph.run(statement, write=True)
        return "4 memories lost, 3 aged, 5 links cut, 1 memory invented"

    def curate(self) -> str:
        """An edit that a person may make, in a namespace whose edits are adopted; and one that the record undoes."""
        self.client.set_policy("team", "adopt")
        with self.cypher() as graph:
            for namespace in ("team", "diary"):
                graph.run(
                    "MATCH (e:Entity {namespace: $n, name: 'Babbage'}) SET e.name = 'Charles Babbage', e.summary = 'Built engines.'",
                    {"n": namespace}, write=True,
                )  # fmt: skip
        return "in `team`, and in `diary`, where the record wins"

    def poison(self) -> str:
        """One text that the extractor refuses, among others."""
        self.model.faults.append(Fault(status=400, code="invalid_value", again=True, when=lambda body: "poison" in str(body["messages"])))
        self.client.save(_POISON, key="poison", namespace="diary")
        return self.write(10)

    def audit(self, job: str) -> str:
        """Run an audit; in words its verdict."""
        self.launch(job)
        verdict = self.client.audits(limit=1)[0]
        found = ", ".join(f"{kind} {count}" for kind, count in verdict["kinds"].items())
        return f"{verdict['mode']}: {found or 'clean'}"

    def audit_and_repair(self, job: str) -> str:
        """Run an audit that finds something, and wait for the sensor to have it repaired."""
        found = self.audit(job)
        self.until(lambda: self.finished("repair"), "the sensor has it repaired")
        self.settle()
        return f"{found}; repaired: {'clean' if self.client.audits(limit=1)[0]['clean'] else 'something is left'}"

    def left_alone(self) -> str:
        """What is parked is for a person: the sensor has looked at the last verdict, and requests nothing."""
        began = time.time()
        self.until(lambda: (self.ticked("repair_after_failed_audit") or 0) > began, "the repair sensor ticks")
        return self.settle() + ("; a repair was started" if self.finished("repair") else "; no repair was started")

    # -- Dagster ---------------------------------------------------------------------------------------------------------

    def launch(self, job: str, then: Callable[[], str] = lambda: "") -> str:
        """Launch a job as the launchpad would, and wait for the end of its run."""
        from dagster_graphql import DagsterGraphQLClient

        run_id = DagsterGraphQLClient("127.0.0.1", port_number=PORT).submit_job_execution(job)
        run = self.until(lambda: self.ended(run_id), f"{job} ends")
        return f"{job} {run.status.value.lower()} {then()}".strip()

    def ended(self, run_id: str) -> Any:
        run = self.instance.get_run_by_id(run_id)
        return run if run is not None and run.is_finished else None

    def finished(self, job: str, status: str | None = None) -> bool:
        """Whether a run of the job has ended since the last line of the timeline."""
        return any(run.job_name == job and (status or run.status.value) == run.status.value for run in self.fresh())

    def ticked(self, sensor: str) -> float | None:
        """When a sensor last ticked, in seconds since 1970."""
        data = [state.instigator_data for state in self.instance.all_instigator_state() if state.instigator_name == sensor]
        return data[0].last_tick_timestamp if data and data[0] is not None else None

    def fresh(self) -> list[Any]:
        """Runs that have ended since the last line of the timeline."""
        return [run for run in self.instance.get_runs(limit=100) if run.is_finished and run.run_id not in self._counted]

    def settle(self) -> str:
        """Wait until nothing is owed and no drain is at work."""
        began = time.monotonic()
        self.until(lambda: not any(self.busy(name) for name in PROJECTIONS), "nothing is owed")
        return f"settled in {time.monotonic() - began:.0f} s"

    def busy(self, projection: Projection) -> bool:
        """Whether something is owed to the projection, or a drain still lingers."""
        found = sync.wanted(self.platform, projection)
        return found.work or found.draining

    def until(self, condition: Callable[[], T], what: str) -> T:
        """Wait until a condition is true, and return it.

        Raises:
            TimeoutError: it was not, within two minutes.
        """
        end = time.monotonic() + LIMIT_SECONDS
        while not (found := condition()):
            if time.monotonic() > end:
                raise TimeoutError(f"After {LIMIT_SECONDS:.0f} s still waiting: {what}.")
            time.sleep(_POLL_SECONDS)
        return found

    @contextmanager
    def cypher(self) -> Iterator[FalkorTransport]:
        with closing(FalkorTransport(embedded.addresses(self.graph_home).graph_url, self.settings.graph_name)) as graph:
            yield graph

    # -- the timeline ----------------------------------------------------------------------------------------------------

    def play(self) -> None:
        """Do all of it, one line each as it happens."""
        began = time.monotonic()
        for clock, what, act in self.plan():
            moment = Moment(clock, time.monotonic() - began, what)
            self.moments.append(moment)
            moment.outcome = act()
            self.count(moment)
            self.console.print(f"{clock}  {what}: {moment.outcome}", highlight=False)

    def count(self, moment: Moment) -> None:
        """Add what Dagster has finished meanwhile."""
        import dagster as dg

        for run in self.fresh():
            self._counted.add(run.run_id)
            moment.runs[run.job_name, run.status.value.lower()] += 1
            for event in self.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION):
                told = event.dagster_event.event_specific_data
                moment.checks["passed" if told.passed else told.severity.value.lower()] += 1

    def table(self) -> Table:
        """The timeline."""
        table = Table(
            "time", "at s", "what was done", "what came of it", "runs that ended", "checks", title="A day in Dagster", show_lines=True
        )
        for moment in self.moments:
            runs = "\n".join(f"{job} {status} {count}" for (job, status), count in sorted(moment.runs.items()))
            checks = "\n".join(f"{result} {count}" for result, count in sorted(moment.checks.items()))
            table.add_row(moment.clock, f"{moment.at:.0f}", moment.what, moment.outcome, runs, checks)
        return table


@contextmanager
def ground() -> Iterator[tuple[Settings, Path, OpenAIServer]]:
    """A fresh home, a graph of its own, an extractor on a socket, and the environment that names them."""
    before = dict(os.environ)
    with tempfile.TemporaryDirectory() as folder, OpenAIServer() as model:
        home, graph_home = Path(folder) / "home", Path(folder) / "graph"
        try:
            graph = embedded.up(graph_home, ["graph"]).graph_url
            os.environ.update(
                MEMORY_HOME=str(home), MEMORY_GRAPH_URL=graph, MEMORY_EXTRACTOR="openai:local", MEMORY_EXTRACTOR_PRICE="0.6",
                OPENAI_API_KEY=KEY, OPENAI_BASE_URL=model.url, MEMORY_BREAKER_FAILURES="3", MEMORY_BREAKER_SECONDS="5",
                DAGSTER_HOME=str(home / "dagster"),
            )  # fmt: skip
            yield load(), graph_home, model
        finally:
            os.environ.clear()
            os.environ.update(before)
            embedded.down(home)
            embedded.down(graph_home)


def run(*, stay: bool = False) -> None:
    """Play the day, print the timeline.

    Args:
        stay: leave the Dagster UI running until Ctrl-C.

    Raises:
        SystemExit: the day did not end as it should: something is owed, or the last audit names more than the parked row.
    """
    import dagster as dg

    console = Console(width=170)
    with ground() as (settings, graph_home, model), lag.dev(settings.home_path, PORT), dg.DagsterInstance.get() as instance:
        platform = open_platform(settings)
        try:
            day = Day(settings, platform, MemoryClient(platform), model, graph_home, instance, console)
            try:
                day.play()
            finally:
                console.print(day.table())
                if stay:
                    console.print(f"Look at http://127.0.0.1:{PORT}; Ctrl-C ends it.")
                    _until_interrupted()
            last = day.client.audits(limit=1)[0]
            if last["mode"] != "deep" or dict(last["kinds"]) != {"parked": 1} or any(day.client.status().owed.values()):
                raise SystemExit(f"The day ended with {last['mode']} {dict(last['kinds'])} and {dict(day.client.status().owed)} owed.")
        finally:
            platform.close()


def _until_interrupted() -> None:
    """Wait for Ctrl-C or a SIGTERM, also where whoever started this had it ignore the former."""
    stopping = (signal.SIGINT, signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_BLOCK, stopping)
    signal.sigwait(stopping)
