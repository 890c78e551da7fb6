"""The roof: everything Dagster shows, with the settings of the environment. What it is made of, says `dagster.py`.

Must stay out: logic, and what a project of somebody else's would not want.
"""

import dagster as dg

from memory_pipelines.dagster import definitions

defs = definitions(executor=dg.in_process_executor)
