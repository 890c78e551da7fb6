"""The roof: everything Dagster shows. Assets and checks are found in `assets`; automation and resources are added.

To add an asset, put it in a file of `assets`; nothing here changes. Must stay out: logic.
"""

import dagster as dg

from memory_pipelines import assets
from memory_pipelines.assets import automation
from memory_pipelines.resources.platform import PlatformResource

defs = dg.Definitions(
    assets=dg.load_assets_from_package_module(assets),
    asset_checks=dg.load_asset_checks_from_package_module(assets),
    jobs=automation.JOBS,
    schedules=automation.SCHEDULES,
    sensors=automation.SENSORS,
    resources={"platform": PlatformResource()},
    executor=dg.in_process_executor,
)
