"""One trial: empty stores, a random history, one fault, then the check.

    writers (one or two)  do the deeds of the seed, and log each call and its answer
    workers (two)         drain all projections at the same time
    a keeper, at times    audits, repairs, maintains or rebuilds beside them
    the parent            lets the fault happen, replaces who died, and waits until everything is green

Then everybody is ended, the product's own audit looks, and the checker looks. To add a fault: `scenarios`. Must stay out: particular
faults, and what the checker knows.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from dataclasses import replace as with_changes
from pathlib import Path
from typing import Any, Literal

import psycopg

from benchmarks.faults import checker, history, logs, raw, roles
from benchmarks.faults.crew import Child, Crew
from benchmarks.faults.roles import Keeper, Worker, Writer
from benchmarks.faults.stack import Stack
from memory_pipelines import MemoryClient
from memory_pipelines.domain.errors import MemoryPipelinesError

OPERATIONS = 120
GREEN_SECONDS = 30.0
"""How long a trial may take to become green."""
_TICK_SECONDS = 0.002
_WRITING_SECONDS = 40.0
_LOOKS_AT_A_MUTANT = 4  # with nothing owed, and every worker having looked again in between: it will not become green

Script = Callable[["Trial"], Iterator[None]]


@dataclass
class Result:
    """What a trial found."""

    fault: str
    seed: int
    engine: str
    hit: bool
    lost: int = 0
    duplicated: int = 0
    ghost: int = 0
    owed: int = 0
    answer: int = 0
    disagreed: int = 0
    late: int = 0
    failed: int = 0
    green_seconds: float = 0.0
    seconds: float = 0.0
    operations: int = 0
    unknown: int = 0
    processes: int = 0
    mutant: str | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Nothing is wrong."""
        return not (self.lost or self.duplicated or self.ghost or self.owed or self.answer or self.disagreed or self.late or self.failed)


@dataclass
class Trial:
    """What a script may set before its first `yield`, and use after it."""

    stack: Stack
    seed: int
    rng: random.Random
    folder: Path
    writers: int = 1
    operations: int = OPERATIONS
    writer: Mapping[str, Any] = field(default_factory=dict)
    """Changes to the first writer's role; the others have none."""
    workers: list[Mapping[str, Any]] = field(default_factory=lambda: [{}, {}])
    """Changes to each worker's role."""
    keeper: Mapping[str, Any] | None = None
    proxied: frozenset[str] = frozenset()
    """Who reaches the engines through the proxy: `writers`, `workers`."""
    replaced: bool = True
    """Whether a worker that died is replaced, under a new name."""
    repairs: bool = False
    """Whether green is reached by an audit that repairs, because something is broken that no drain can know of."""
    deep: bool = False
    """Whether that takes a deep audit, because properties are changed under the digest that they had."""
    retried: bool = False
    """Whether calls of the record may have been made twice by its client: the second one then finds everything done."""
    damage: list[str] = field(default_factory=list)
    """Cypher that is run when all is green: audit and checker must both see it, and a repair must mend it."""
    needs_hit: bool = False
    """Whether the trial counts only when somebody came to the armed point."""
    crew: Crew = field(default_factory=Crew)
    plans: list[list[history.Deed]] = field(default_factory=list)
    logs: list[Path] = field(default_factory=list)
    healed_at: float = 0.0
    notes: list[str] = field(default_factory=list)

    # -- for scripts -------------------------------------------------------------------------------------------------

    def until_deeds(self, share: float) -> Iterator[None]:
        """Until the writers have done such a share of all deeds."""
        while sum(child.seat.progress for child in self.crew.named("writer")) < share * self.operations and self.writing:
            yield

    def pause(self, seconds: float) -> Iterator[None]:
        """For so long."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            yield

    def until(self, condition: Callable[[], object], seconds: float = 8.0) -> Iterator[None]:
        """Until something is so, or too much time has gone by."""
        deadline = time.monotonic() + seconds
        while not condition() and time.monotonic() < deadline:
            yield

    def frozen(self) -> list[Child]:
        """Who stands still."""
        return [child for child in self.crew.children if child.frozen]

    def wake(self, child: Child) -> None:
        """SIGCONT."""
        os.kill(child.pid, signal.SIGCONT)

    def hire_keeper(self, *chores: str) -> None:
        """One who does some chores once, and goes."""
        self.crew.start("keeper-hired", Keeper(self._settings("keepers"), chores, rounds=1))

    def somewhere(self) -> float:
        """A share of the deeds, in the middle."""
        return self.rng.uniform(0.15, 0.8)

    @property
    def writing(self) -> bool:
        """Whether deeds are left to do."""
        return any(child.alive for child in self.crew.named("writer")) or self._unfinished() is not None

    # -- the crew ----------------------------------------------------------------------------------------------------

    def launch(self) -> None:
        """Fork everybody."""
        for n, plan in enumerate(self.plans):
            log = self.folder / f"writer-{n}.log"
            self.logs.append(log)
            role = Writer(self._settings("writers"), plan, log)
            self.crew.start(f"writer-{n}", with_changes(role, **self.writer) if n == 0 else role)
        for n, changes in enumerate(self.workers):
            role_of_worker = Worker(self._settings("workers"))
            self.crew.start(f"worker-{n}", with_changes(role_of_worker, **changes))
        if self.keeper is not None:
            self.crew.start("keeper", with_changes(Keeper(self._settings("keepers"), ()), **self.keeper))

    def _settings(self, who: str) -> Any:
        return self.stack.settings(proxied=who in self.proxied)

    def replace_the_dead(self) -> None:
        """Take note of deaths, and have somebody go on where the dead one stopped."""
        for child in self.crew.look():
            if child.alive:
                continue
            if child.ended != -signal.SIGKILL and child.ended != 0:
                self.notes.append(f"{child.name} ended with {child.ended}")
            if child.ended == 0:
                continue
            if child.name.startswith("worker") and self.replaced:
                self.crew.start(f"worker-after-{child.pid}", Worker(self._settings("workers"), patience_seconds=1.0))
        self._succeed()

    def _unfinished(self) -> tuple[int, int] | None:
        """A plan that nobody is at, and the number of the first deed in it that nobody has begun."""
        for n, plan in enumerate(self.plans):
            latest = self.crew.named(f"writer-{n}")[-1]
            if not latest.alive and latest.ended != 0:
                begun = len(logs.read_log([self.logs[n]])) if n < len(self.logs) else 0
                if begun < len(plan):
                    return n, begun
        return None

    def _succeed(self) -> None:
        """Let another writer go on, once the record has finished what the dead one had asked of it."""
        unfinished = self._unfinished()
        if unfinished is None:
            return
        n, begun = unfinished
        self._outlive_calls()
        deeds = self.plans[n][begun:]
        if begun and self.rng.random() < 0.5:  # a client that tries again what it has not heard the end of
            deeds = self.plans[n][begun - 1 :]
        log = self.logs[n]
        self.crew.start(f"writer-{n}-again-{begun}", Writer(self._settings("writers"), deeds, log))

    def _outlive_calls(self) -> None:
        """Wait until what runs in the record now has ended: a killed client's statement may still be at work."""
        with self.stack.record() as connection:
            running = (
                "select pid, query_start from pg_stat_activity"
                " where state = 'active' and pid <> pg_backend_pid() and backend_type = 'client backend'"
            )
            before = set(connection.execute(running))
            deadline = time.monotonic() + 5
            while before & set(connection.execute(running)) and time.monotonic() < deadline:
                time.sleep(_TICK_SECONDS)


def run(
    stack: Stack, fault: str, script: Script, seed: int, *, mutate: Callable[[], None] | None = None, patience: float = GREEN_SECONDS
) -> Result:
    """Run one trial on a stack that is emptied first; in a process that may be thrown away afterwards.

    Args:
        mutate: breaks something of the product, for this process and its children.
        patience: seconds until a trial that is not green counts as late; less for a build that is broken on purpose.
    """
    began = time.monotonic()
    stack.empty()
    if mutate is not None:
        mutate()
    rng = random.Random(f"fault {fault} {seed}")
    trial = Trial(stack, seed, rng, Path(tempfile.mkdtemp(prefix="trial-")), writers=rng.choice((1, 1, 2)))
    trial.plans = history.deeds(seed, trial.writers, trial.operations, merges=hasattr(MemoryClient, "merge_entities"))
    result = Result(fault, seed, stack.engine, hit=True, operations=trial.operations)
    try:
        _live(trial, script)
        result.hit = not trial.needs_hit or any(child.hit for child in trial.crew.children)
        _become_green(trial, result, patience)
        trial.crew.end()
        _judge(trial, result)
    finally:
        trial.crew.end()
        shutil.rmtree(trial.folder, ignore_errors=True)
    result.processes = len(trial.crew.children)
    result.problems.extend(trial.notes)
    result.failed += len(trial.notes)
    result.seconds = round(time.monotonic() - began, 3)
    return result


def _live(trial: Trial, script: Script) -> None:
    """The history and the fault."""
    story = script(trial)
    next(story, None)
    trial.launch()
    told = False
    deadline = time.monotonic() + _WRITING_SECONDS
    while (trial.writing or not told) and time.monotonic() < deadline:
        trial.replace_the_dead()
        if not told:
            try:
                next(story)
            except StopIteration:
                told, trial.healed_at = True, time.monotonic()
        time.sleep(_TICK_SECONDS)
    if not told or trial.writing:
        trial.notes.append(f"after {_WRITING_SECONDS:.0f} s the history was {'told' if told else 'not told'} and {trial.crew.children}")
    trial.crew.look()


def _become_green(trial: Trial, result: Result, patience: float) -> None:
    """Wait until nothing is owed, every worker has looked again, and an audit is clean."""
    for child in trial.frozen():
        trial.wake(child)
    for keeper in trial.crew.named("keeper"):
        keeper.seat.stop = 1
    began = time.monotonic()
    deadline = began + patience
    seen = {child.pid: child.seat.rounds for child in trial.crew.named("worker")}
    verdict: Any = None
    looks = 0
    with MemoryClient.from_env(trial.stack.settings()) as client:
        while time.monotonic() < deadline:
            trial.crew.look()
            working = [child for child in trial.crew.named("worker") if child.alive]
            looked = all(child.seat.rounds >= seen.get(child.pid, 0) + 2 for child in working)
            settled = looked and not any(child.alive for child in trial.crew.named("keeper")) and _owed(trial.stack) == 0
            if not working:
                result.problems.append("no worker is left")
                break
            if settled:
                try:
                    verdict = client.audit(deep=trial.deep, repair=trial.repairs)
                except MemoryPipelinesError as error:
                    result.problems.append(f"the audit could not look: {error.code}")
                else:
                    if verdict.clean and not verdict.pending:
                        result.green_seconds = round(time.monotonic() - max(began, trial.healed_at), 3)
                        return
                looks += 1
                if patience < GREEN_SECONDS and looks == _LOOKS_AT_A_MUTANT:
                    break
                seen = {child.pid: child.seat.rounds for child in working}
            time.sleep(_TICK_SECONDS)
    result.green_seconds = round(time.monotonic() - began, 3)
    result.late = 1
    findings = [] if verdict is None else [f"{f.kind} {f.store} {f.subject} {f.id}" for f in verdict.findings[:5]]
    parked = _parked(trial.stack)
    result.problems.append(f"not green after {result.green_seconds:.0f} s: {_owed(trial.stack)} owed, parked {parked}, found {findings}")


def _owed(stack: Stack) -> int:
    try:
        with stack.record() as connection:
            row = connection.execute("select count(*) from memory.ledger where owed_number is not null and parked_at is null").fetchone()
    except psycopg.Error:
        return -1
    return int(row[0]) if row else -1


def _parked(stack: Stack) -> list[str]:
    with stack.record() as connection:
        rows = connection.execute("select kind, id, last_error from memory.ledger where parked_at is not null limit 3").fetchall()
    return [f"{kind} {id_}: {error}" for kind, id_, error in rows]


def _judge(trial: Trial, result: Result) -> None:
    """The product's audit, then the checker; they must say the same."""
    wanted = logs.expected(logs.read_log(trial.logs), retried=trial.retried)
    result.unknown = wanted.unknown
    if trial.damage:
        _damage(trial, result, wanted)
    problems = look(trial.stack, wanted)
    verdict = audited(trial.stack)
    tell(result, problems)
    differing = [problem for problem in problems if problem[0] not in ("answer", "owed")]
    if isinstance(verdict, str):
        result.disagreed += 1
        result.problems.append(verdict)
    elif verdict.clean != (not differing):
        result.disagreed += 1
        found = [f"{f.kind} {f.store} {f.subject} {f.id}" for f in verdict.findings[:5]]
        result.problems.append(f"the audit found {found or 'nothing'}; the checker {differing[:3] or 'nothing'}")


def _damage(trial: Trial, result: Result, wanted: logs.Expected) -> None:
    """Damage the graph behind everybody's back. Who audits must see what the checker sees; a repair mends it."""
    cypher = trial.stack.cypher()
    for statement in trial.damage:
        cypher(statement)
    seen = [problem for problem in look(trial.stack, wanted) if problem[0] not in ("answer", "owed")]
    verdict = audited(trial.stack)
    if isinstance(verdict, str) or verdict.clean != (not seen):
        result.disagreed += 1
        result.problems.append(f"after {trial.damage} the audit was {verdict}; the checker saw {seen[:3] or 'nothing'}")
    began = time.monotonic()
    with MemoryClient.from_env(trial.stack.settings()) as client:
        repaired = client.audit(deep=True, repair=True)
    result.green_seconds = round(time.monotonic() - began, 3)
    if not repaired.clean:
        result.late += 1
        result.problems.append(f"after {trial.damage} a repair left {repaired.findings[:3]}")


def look(stack: Stack, wanted: logs.Expected) -> list[logs.Problem]:
    """What the checker says of the stores as they are."""
    with stack.record() as connection:
        return checker.compare(wanted, raw.look(connection, stack.cypher()), embedded)


def embedded(texts: list[str]) -> Any:
    """Unit vectors by the model itself, not by the product's way of calling it."""
    import numpy as np

    found = _model().embed(texts)
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).tolist()


def _model() -> Any:
    import wordllama

    global _loaded
    if _loaded is None:
        folder = Path(wordllama.__file__).parent
        _loaded = wordllama.WordLlama.load("l2_supercat", cache_dir=folder, dim=256, disable_download=True)
    return _loaded


_loaded: Any = None


def audited(stack: Stack, *, deep: bool = True) -> Any:
    """The verdict of the product's own audit, or what kept it from looking."""
    try:
        with MemoryClient.from_env(stack.settings()) as client:
            return client.audit(deep=deep)
    except MemoryPipelinesError as error:
        return f"the audit could not look: {error.code} {error.message}"


def tell(result: Result, problems: list[logs.Problem]) -> None:
    """Count problems by kind, and keep the first of each."""
    counted: Counter[str] = Counter(kind for kind, _ in problems)
    kind: Literal["lost", "duplicated", "ghost", "owed", "answer"]
    for kind in checker.KINDS:  # type: ignore[assignment]
        setattr(result, kind, getattr(result, kind) + counted[kind])
        result.problems.extend([f"{kind}: {what}" for said, what in problems if said == kind][:3])


__all__ = ["GREEN_SECONDS", "OPERATIONS", "Result", "Trial", "audited", "look", "roles", "run", "tell"]
