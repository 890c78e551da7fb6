"""`python -m benchmarks [NAME …] [--out FILE] [--plot FILE]`: run benchmarks, print tables, keep the figures as JSON in FILE."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks import ground, latency, pepys


def main() -> None:
    """Parse the arguments and run what is named; by default the two that need no Dagster."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "names",
        nargs="*",
        choices=["pepys", "latency", "rest", "urls", "lag", "celery", "audit", "day", "drift"],
        default=["pepys", "latency"],
    )
    parser.add_argument("--out", type=Path, help="JSON file to keep the figures in")
    parser.add_argument("--plot", type=Path, help="SVG file to draw into: of the audit over 10,000 to 1,000,000 memories")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memories", type=int, default=100_000, help="how many `celery` rebuilds, and `drift` differs among")
    parser.add_argument("--rows", type=int, default=1000, help="how many rows of `drift` differ")
    parser.add_argument("--seed", type=int, help="of what differs in `drift`; by default the same each time")
    parser.add_argument("--stay", action="store_true", help="after `day`, leave the Dagster UI running until Ctrl-C")
    chosen = parser.parse_args()
    if {"pepys", "latency", "rest", "urls", "audit"} & set(chosen.names):
        with ground.engines() as settings:
            if "pepys" in chosen.names:
                pepys.run(settings, chosen.out, chosen.rounds)
            if "latency" in chosen.names:
                latency.run(settings, chosen.out)
            if "rest" in chosen.names:
                from benchmarks import rest

                rest.run(settings, chosen.out, chosen.rounds)
            if "urls" in chosen.names:
                from benchmarks import urls

                urls.run(settings, chosen.out, chosen.rounds)
            if "audit" in chosen.names:
                from benchmarks import audit_scale

                audit_scale.run(settings, chosen.out, plot=chosen.plot)
    if "lag" in chosen.names:
        from benchmarks import lag

        lag.main([])
    if "celery" in chosen.names:
        from benchmarks import celery

        celery.run(chosen.out, chosen.rounds, chosen.memories)
    if "day" in chosen.names:
        from benchmarks import day

        day.run(stay=chosen.stay)
    if "drift" in chosen.names:
        from benchmarks import drift

        with ground.engines() as settings:
            without = settings.model_copy(update={"extractor": "none"})  # the links are given: three entities a memory and no more
            drift.run(without, chosen.out, chosen.memories, chosen.rows, drift.SEED if chosen.seed is None else chosen.seed)


if __name__ == "__main__":
    main()
