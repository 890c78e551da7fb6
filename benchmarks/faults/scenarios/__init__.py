"""The faults, by name. Each is a script: what it sets before its first `yield` shapes the trial, what follows happens while it runs.

To add one: a generator with `@fault("its name")` in the file of its subject. It must be over, and everything mended, when the generator
ends; what the crew makes of it is the trial's business. Must stay out: checks.
"""

from benchmarks.faults.scenarios import freezes, kills, networks, outages
from benchmarks.faults.scenarios.registry import FAULTS, Fault

__all__ = ["FAULTS", "Fault", "freezes", "kills", "networks", "outages"]
