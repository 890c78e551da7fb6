"""Every setting, where it is looked for, and what is said of one that is wrong. `settings.py` has the fields; `load` reads them.

To add one: a field in `settings.py`; the table in the docs is held against that class by a test. Must stay out: anything that opens a
connection.
"""

from memory_pipelines.config.addresses import check
from memory_pipelines.config.settings import Settings, load
from memory_pipelines.config.variables import misspelt

__all__ = ["Settings", "check", "load", "misspelt"]
