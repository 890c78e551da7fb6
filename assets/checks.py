"""Questions that several assets are asked. A check asks one question; if it could not ask, it raises, and Dagster shows an error.

Checks of one asset alone are in that asset's file.
"""

import dagster as dg

from memory_pipelines.assets import drains, metadata
from memory_pipelines.domain.models import Projection
from memory_pipelines.services import dead_letters
from memory_pipelines.services.platform import Platform


def on_time(platform: Platform, projection: Projection) -> dg.AssetCheckResult:
    """Has nothing been owed to the projection for longer than the sync budget?"""
    budget = platform.settings.sync_budget_seconds
    state = platform.record.status(budget)["projections"][projection]
    oldest = state["oldest_owed_seconds"] or 0.0
    return dg.AssetCheckResult(
        passed=oldest <= budget,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={"oldest_owed_seconds": round(oldest, 1), "budget_seconds": budget, "owed": state["owed"]},
    )


def turned(platform: Platform, projection: Projection, before: bool | None) -> dg.AssetCheckEvaluation | None:
    """The check of `on_time`, where it would answer otherwise than `before`: None where nothing is new.

    This is how fresh a projection is, without a run: as nothing is materialised while nothing is owed, no policy that counts from the last
    materialisation can tell.
    """
    found = on_time(platform, projection)
    if found.passed == before:
        return None
    key = dg.AssetKey(drains.PROJECTIONS[projection])
    return dg.AssetCheckEvaluation(
        asset_key=key, check_name=f"{projection}_on_time", passed=found.passed, severity=found.severity, metadata=found.metadata
    )


def nothing_parked(platform: Platform, projection: Projection) -> dg.AssetCheckResult:
    """Is no row of the projection set aside because it failed, again and again, for its own reason?"""
    parked = platform.record.status(platform.settings.sync_budget_seconds)["projections"][projection]["parked"]
    letters = metadata.parked(dead_letters.page(platform, projection=projection, limit=metadata.TABLE_ROWS).letters) if parked else {}
    return dg.AssetCheckResult(passed=not parked, severity=dg.AssetCheckSeverity.WARN, metadata={"parked": parked, **letters})
