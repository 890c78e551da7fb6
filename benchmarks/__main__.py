"""`python -m benchmarks [pepys] [latency] [rest] [lag] [--out FILE]`: run benchmarks, print tables, keep the figures as JSON."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks import ground, latency, pepys


def main() -> None:
    """Parse the arguments and run what is named; by default the two that need no Dagster."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=["pepys", "latency", "rest", "lag"], default=["pepys", "latency"])
    parser.add_argument("--out", type=Path, help="JSON file to keep the figures in")
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    if {"pepys", "latency", "rest"} & set(chosen.names):
        with ground.engines() as settings:
            if "pepys" in chosen.names:
                pepys.run(settings, chosen.out, chosen.rounds)
            if "latency" in chosen.names:
                latency.run(settings, chosen.out)
            if "rest" in chosen.names:
                from benchmarks import rest

                rest.run(settings, chosen.out, chosen.rounds)
    if "lag" in chosen.names:
        from benchmarks import lag

        lag.main([])


if __name__ == "__main__":
    main()
