"""Runs many trials: each in a process that is forked for it and thrown away, results appended line by line as they come.

Lives here: which trials are due, stacks side by side, what becomes of a trial that hangs. A run that is broken off goes on where it was
when it is started again with the same file. Must stay out: trials themselves, and tables (`results.py`).
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.faults import roles, scenarios, stack, trial
from benchmarks.faults.mutants import MUTANTS, Mutant
from benchmarks.faults.trial import Result

_TRIAL_SECONDS = 120.0
_MUTANT_SECONDS = 6.0  # a broken build that will never be green need not be waited for so long
LEAST = 30  # trials of each fault
_LONG_RUN = 1000

Due = tuple[str, int, str | None]
"""A trial to run: fault, seed, and the mutant that it is run on, if any."""


def due(count: int, engine: str, results: Iterable[dict[str, Any]]) -> list[Due]:
    """Which (fault, seed) are still to be run: all faults equally often, and in a run of a thousand and more at least `LEAST` times each.

    A trial that never came to its fail point does not count; another seed takes its place.
    """
    names = [name for name, fault in scenarios.FAULTS.items() if engine in fault.engines]
    each = max(-(-count // len(names)), LEAST if count >= _LONG_RUN else 0)
    done = [row for row in results if row["engine"] == engine and row["fault"] in names and not row.get("mutant")]
    hits = Counter(row["fault"] for row in done if row["hit"])
    used = {name: max((row["seed"] for row in done if row["fault"] == name), default=-1) for name in names}
    wanted: list[Due] = [(name, used[name] + 1 + n, None) for name in names for n in range(max(each - hits[name], 0))]
    random.Random(count).shuffle(wanted)
    return wanted


def one(ground: stack.Stack, fault: str, seed: int, mutant: Mutant | None = None) -> Result:
    """Run one trial in a process of its own, with all its children in a group that is ended with it."""
    if mutant is not None:
        mutant.install(ground)
    try:
        return _one(ground, fault, seed, mutant)
    finally:
        if mutant is not None:
            ground.restore_schema()


def _one(ground: stack.Stack, fault: str, seed: int, mutant: Mutant | None) -> Result:
    here, there = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(here)
            os.setpgid(0, 0)
            breaking: dict[str, Any] = {"mutate": mutant.patch, "patience": _MUTANT_SECONDS} if mutant else {}
            result = trial.run(ground, fault, scenarios.FAULTS[fault].script, seed, **breaking)
            os.write(there, json.dumps(asdict(result)).encode())
            code = 0
        except BaseException:  # noqa: BLE001  # the parent hears of it
            os.write(there, json.dumps({"broken": traceback.format_exc()[-3000:]}).encode())
        finally:
            os._exit(code)
    os.close(there)
    answer = _read(here, time.monotonic() + _TRIAL_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    said = json.loads(answer) if answer else {"broken": f"it did not end within {_TRIAL_SECONDS:.0f} s"}
    if "broken" in said:
        broken = f"the bench itself failed: {said['broken']}\n{ground.last_words()}"
        return Result(fault, seed, ground.engine, hit=True, failed=1, problems=[broken])
    return Result(**said)


def _read(pipe: int, deadline: float) -> bytes:
    parts = []
    while select.select([pipe], [], [], max(deadline - time.monotonic(), 0))[0]:
        part = os.read(pipe, 65536)
        if not part:
            break
        parts.append(part)
    os.close(pipe)
    return b"".join(parts)


def run(wanted: Sequence[Due], engine: stack.GraphEngine, *, workers: int, told: Callable[[Result], None]) -> None:
    """Run trials on one or more stacks side by side; `told` hears each result as it comes."""
    roles.warm()
    signal.signal(signal.SIGTERM, _interrupt)
    lanes = [wanted[n::workers] for n in range(workers)]
    here, there = os.pipe()
    pids = [_lane(lane, engine, there) for lane in lanes]
    os.close(there)
    try:
        with os.fdopen(here, "rb") as lines:
            for line in lines:
                told(Result(**json.loads(line)))
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)  # of no effect on one that has ended
            _, status = os.waitpid(pid, 0)
            if status:
                print(f"a lane ended with {os.waitstatus_to_exitcode(status)}")


def _lane(wanted: Sequence[Due], engine: stack.GraphEngine, pipe: int) -> int:
    """A process with a stack of its own."""
    pid = os.fork()
    if pid:
        return pid
    signal.signal(signal.SIGTERM, _interrupt)
    code = 1
    try:
        with stack.running(engine) as ground:
            for fault, seed, mutant in wanted:
                result = one(ground, fault, seed, MUTANTS[mutant] if mutant else None)
                os.write(pipe, json.dumps(asdict(result) | {"mutant": mutant}).encode() + b"\n")
        code = 0
    except KeyboardInterrupt:
        code = 130
    except BaseException:  # noqa: BLE001  # the process ends here, whatever it is
        traceback.print_exc()
    finally:
        os._exit(code)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt(f"signal {number} at {frame}")


def read(path: Path) -> list[dict[str, Any]]:
    """Results of earlier runs; a last line that was cut off is left out."""
    if not path.exists():
        return []
    rows = []
    for line in path.read_text("utf-8").split("\n")[:-1]:
        with suppress(json.JSONDecodeError):
            rows.append(json.loads(line))
    return rows


def keep(path: Path, result: Result) -> None:
    """Append a result."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(result)) + "\n")
        file.flush()
        os.fsync(file.fileno())
