"""From lines of results to the table that is printed and published.

    fault × trials × lost × duplicated × ghost × wrong otherwise × seconds to green (median, longest)

Lives here: adding up and writing down. Must stay out: running anything.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

COUNTS = ("lost", "duplicated", "ghost")
OTHERS = ("owed", "answer", "disagreed", "late", "failed")

Row = dict[str, Any]


def of_the_product(results: Iterable[Row]) -> list[Row]:
    """Without the trials of builds that are broken on purpose."""
    return [result for result in results if not result.get("mutant")]


def rows(results: Iterable[Row]) -> list[Row]:
    """One row a fault and engine. A trial that never came to its fail point is not counted."""
    grouped: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for result in results:
        if result["hit"]:
            grouped[result["fault"], result["engine"]].append(result)
    table = []
    for (fault, engine), group in sorted(grouped.items()):
        green = [one["green_seconds"] for one in group]
        table.append(
            {"fault": fault, "engine": engine, "trials": len(group)}
            | {kind: sum(one[kind] for one in group) for kind in COUNTS}
            | {"other": sum(one[kind] for one in group for kind in OTHERS)}
            | {"median": median(green), "longest": max(green)}
        )
    return table


def reproduce(result: Row) -> str:
    """The command that runs one trial again."""
    words = f'python -m benchmarks.faults --fault "{result["fault"]}" --seed {result["seed"]}'
    words += "" if result["engine"] == "falkordb" else f" --engine {result['engine']}"
    return words + (f" --mutant {result['mutant']}" if result.get("mutant") else "")


def sound(result: Row) -> bool:
    """Nothing is wrong with a trial."""
    return not any(result[kind] for kind in (*COUNTS, *OTHERS))


def noticed(result: Row) -> bool:
    """Something is wrong with what a trial left behind. A process or a bench that failed has noticed nothing."""
    return any(result[kind] for kind in (*COUNTS, *OTHERS) if kind != "failed")


def print_table(results: Iterable[Row]) -> None:
    """On standard output."""
    from rich.console import Console
    from rich.table import Table

    kept = list(results)
    shown = Table(title="Faults")
    for name in ("fault", "engine", "trials", *COUNTS, "other", "green, median s", "longest s"):
        shown.add_column(name, justify="left" if name in ("fault", "engine") else "right")
    for row in rows(kept):
        figures = (str(row[name]) for name in ("trials", *COUNTS, "other"))
        shown.add_row(row["fault"], row["engine"], *figures, f"{row['median']:.2f}", f"{row['longest']:.2f}")
    Console(width=None if sys.stdout.isatty() else 160).print(shown)
    print(_summary(kept))


def mutant_rows(results: Iterable[Row]) -> list[Row]:
    """One row a broken build: in how many trials it was noticed, and by what."""
    grouped: dict[str, list[Row]] = defaultdict(list)
    for result in results:
        if result.get("mutant") and result["hit"]:
            grouped[result["mutant"]].append(result)
    return [
        {"mutant": mutant, "trials": len(group), "noticed": sum(noticed(one) for one in group)}
        | {kind: sum(one[kind] for one in group) for kind in COUNTS}
        | {"other": sum(one[kind] for one in group for kind in OTHERS)}
        for mutant, group in sorted(grouped.items())
    ]


def _summary(kept: list[Row]) -> str:
    counted = [result for result in kept if result["hit"]]
    deeds = sum(result["operations"] for result in counted)
    wrong = {kind: sum(result[kind] for result in counted) for kind in (*COUNTS, *OTHERS)}
    missed = len(kept) - len(counted)
    words = ", ".join(f"{count} {kind}" for kind, count in wrong.items())
    unreached = f" {missed} further trials never came to their fail point and are not counted." if missed else ""
    unknown = sum(result["unknown"] for result in counted)
    return f"{len(counted):,} trials, {deeds:,} deeds of which {unknown:,} ended unknown: {words}.{unreached}"


def write(results: Iterable[Row], path: Path, breaks: Mapping[str, str]) -> None:
    """As Markdown; written whole by the command, never by hand.

    Args:
        breaks: what each broken build breaks, by its name.
    """
    everything = list(results)
    kept = of_the_product(everything)
    counted = [result for result in kept if result["hit"]]
    seconds = [result["seconds"] for result in counted]
    lines = [
        "# What faults lose",
        "",
        "Written by `python -m benchmarks.faults`; what a trial is and what each column means stands in [the README](../README.md#faults).",
        f"Run of {datetime.now(UTC):%Y-%m-%d}: {_summary(kept)}",
        f"A trial took {median(seconds) if seconds else 0:.1f} s (median), all of it included.",
        "",
        "| Fault | Graph | Trials | Lost | Duplicated | Ghosts | Other | Green after: median, s | longest, s |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in rows(kept):
        figures = " | ".join(str(row[name]) for name in ("trials", *COUNTS, "other"))
        lines.append(f"| {row['fault']} | {row['engine']} | {figures} | {row['median']:.2f} | {row['longest']:.2f} |")
    failures = [result for result in counted if not sound(result)]
    if failures:
        lines += ["", "## Failures", ""]
        lines += [f"- `{reproduce(result)}`: {'; '.join(result['problems'])[:500]}" for result in failures]
    if broken := mutant_rows(everything):
        lines += ["", "## Builds that are broken on purpose", "", "Noticed: trials that left something wrong behind.", ""]
        lines += ["| Build | What is broken | Trials | Noticed | Lost | Duplicated | Ghosts | Other |"]
        lines += ["| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |"]
        for row in broken:
            figures = " | ".join(str(row[name]) for name in ("trials", "noticed", *COUNTS, "other"))
            lines.append(f"| {row['mutant']} | {breaks[row['mutant']]} | {figures} |")
    path.write_text("\n".join(lines) + "\n", "utf-8")
