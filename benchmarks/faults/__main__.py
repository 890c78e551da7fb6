"""`python -m benchmarks.faults [--trials N] [--fault NAME] [--seed N] [--engine neo4j] [--mutant NAME]`: faults, trials, a table.

    python -m benchmarks.faults --trials 2000 --workers 2      the full run; start it again to go on where it was broken off
    python -m benchmarks.faults --fault "graph wiped" --seed 7 one trial, as a failure names it
    python -m benchmarks.faults --mutant fence-off             must end with 1: the bench has caught the broken build
    python -m benchmarks.faults --mutants --write              all broken builds, six trials of each fault that shows them
    python -m benchmarks.faults --list                         the faults and the mutants there are
    python -m benchmarks.faults --table                        only the table, from the results that are there

Exit code 0 when nothing was lost, duplicated or left over, 1 when something was. Each failure is printed with the command that repeats it.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from dataclasses import asdict
from pathlib import Path

# Before anything imports numpy or a tokenizer: the children are forked, and a fork takes no thread along.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["TOKENIZERS_PARALLELISM"] = "false"

from benchmarks.faults import results, runner, scenarios
from benchmarks.faults.mutants import MUTANTS
from benchmarks.faults.trial import Result

HERE = Path(__file__).parent
KEPT = Path(".cache") / "faults.jsonl"
TABLE = HERE / "RESULTS.md"
_MUTANT_TRIALS = 6
_PASSES = 5


def main() -> int:
    """Parse the arguments, run what is due, print and write the table."""
    options = _options()
    logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)  # that connections break is what most of the faults are
    if options.list:
        print("\n".join([*scenarios.FAULTS, "", *(f"{name}: {mutant.breaks}" for name, mutant in MUTANTS.items())]))
        return 0
    if options.table:
        return _table(runner.read(options.results), options.write)
    single = options.fault is not None and options.seed is not None
    wanted: list[runner.Due]
    if options.plan:
        wanted = [(fault, seed, mutant) for fault, seed, mutant in json.loads(options.plan.read_text("utf-8"))]
    elif options.mutant or options.mutants:
        seeds = [options.seed] if options.seed is not None else range(options.trials or _MUTANT_TRIALS)
        names = [options.mutant] if options.mutant else list(MUTANTS)
        shown_by = {name: [options.fault] if options.fault else list(MUTANTS[name].shown_by) for name in names}
        wanted = [(fault, seed, name) for seed in seeds for name in names for fault in shown_by[name]]
    elif options.fault:
        seeds = [options.seed] if single else range(options.trials or runner.LEAST)
        wanted = [(options.fault, seed, None) for seed in seeds]
    else:
        wanted = runner.due(options.trials or 2000, options.engine, runner.read(options.results))
    kept = options.results if not options.mutant and not options.fault else None
    told: list[Result] = []

    def tell(result: Result) -> None:
        told.append(result)
        if kept is not None:
            kept.parent.mkdir(parents=True, exist_ok=True)
            runner.keep(kept, result)
        if not result.sound and not options.mutants:
            print(f"\nFAILED  {results.reproduce(asdict(result))}", *result.problems, sep="\n    ", flush=True)
        if single or options.verbose:
            print(result, flush=True)
        elif len(told) % 20 == 0:
            print(f"{len(told)} of {len(wanted)}", file=sys.stderr, flush=True)

    passes = 0
    while wanted:
        runner.run(wanted, options.engine, workers=options.workers, told=tell)
        passes += 1
        if kept is None or options.plan or options.mutants or passes == _PASSES:
            break
        wanted = runner.due(options.trials or 2000, options.engine, runner.read(kept))  # in place of those that never came to their point
    if options.mutants:
        if options.write and kept is not None:
            _table(runner.read(kept), True)
        return _every_one_noticed([asdict(result) for result in told])
    code = _table(runner.read(kept) if kept is not None else [asdict(result) for result in told], options.write and kept is not None)
    return 2 if kept is None and len(told) < len(wanted) else code


def _table(rows: list[results.Row], written: bool) -> int:
    shown = results.of_the_product(rows) or rows  # trials of a mutant alone are shown as they are
    results.print_table(shown)
    if written:
        results.write(rows, TABLE, {name: mutant.breaks for name, mutant in MUTANTS.items()})
    return 0 if all(results.sound(row) for row in shown if row["hit"]) else 1


def _every_one_noticed(rows: list[results.Row]) -> int:
    """0 when each broken build was noticed at least once."""
    found = {row["mutant"]: row["noticed"] for row in results.mutant_rows(rows)}
    print("\n".join(f"{name}: noticed in {found.get(name, 0)} trials ({mutant.breaks})" for name, mutant in MUTANTS.items()))
    return 0 if all(found.get(name) for name in MUTANTS) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="benchmarks.faults")
    parser.add_argument("--trials", type=int, help="how many in all (default 2000), or of the fault that is named (default 30)")
    parser.add_argument("--fault", choices=sorted(scenarios.FAULTS), metavar="NAME", help="only this fault; see --list")
    parser.add_argument("--seed", type=int, help="with --fault: the one trial of this seed")
    parser.add_argument("--engine", choices=("falkordb", "neo4j"), default="falkordb", help="what holds the graph")
    parser.add_argument("--mutant", choices=sorted(MUTANTS), help="take one safeguard away, and see that the bench notices")
    parser.add_argument("--mutants", action="store_true", help="the same for every safeguard; 0 when each was noticed")
    parser.add_argument("--plan", type=Path, help="run just the trials of a JSON file: a list of [fault, seed, mutant or null]")
    parser.add_argument("--workers", type=int, default=1, help="stacks side by side")
    parser.add_argument("--results", type=Path, default=KEPT, help=f"file that a run appends to and goes on from (default {KEPT})")
    parser.add_argument("--write", action="store_true", help=f"write the table to {TABLE.relative_to(HERE.parents[1])} too")
    parser.add_argument("--table", action="store_true", help="run nothing, show the table of the results that are there")
    parser.add_argument("--list", action="store_true", help="name the faults and the mutants")
    parser.add_argument("--verbose", action="store_true", help="print every result")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
