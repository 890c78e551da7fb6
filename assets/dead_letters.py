"""Retrying dead letters as an op job, from the launchpad: all of them, those of one projection, or some by name.

Must stay out: dropping. To give up a debt is a decision about that one row, and is made where it is looked at: `memory-pipelines dead`.
"""

import dagster as dg

from memory_pipelines.assets import failures, metadata, tags
from memory_pipelines.resources.configuration import DeadLettersConfig
from memory_pipelines.resources.platform import PlatformResource
from memory_pipelines.services import dead_letters as service


@dg.op(
    description="Release what is parked, so that the next drain tries it again. Says what is parked before and after.",
    out=dg.Out(dg.Nothing),
)
def retry_dead_letters(context: dg.OpExecutionContext, config: DeadLettersConfig, platform: PlatformResource) -> None:
    """The queue sensors see what is owed then, and request drains."""
    with failures.explained():
        before = service.page(platform.get(), projection=config.projection, limit=metadata.TABLE_ROWS)
        everything = not config.names and config.projection is None
        done = service.retry(
            platform.get(), config.names, projection=config.projection, all_of_them=everything, accept_empty=config.accept_empty
        )
    context.log.info("%d rows and %d events to be tried again.", done.rows, done.events)
    for name in done.unknown:
        context.log.warning("Nothing is parked under %s.", name)
    context.add_output_metadata(metadata.released(done, before.letters))


@dg.job(
    name="dead_letters",
    executor_def=dg.in_process_executor,
    tags=tags.of("dead_letters"),
    description="Try again what is parked: all, one projection's, or some by name.",
)
def dead_letters() -> None:
    """See `retry_dead_letters`."""
    retry_dead_letters()
