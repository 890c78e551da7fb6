"""How a failed run says why: our own errors become Dagster failures, with what happened in the first line instead of below a stack.

Wrap the call of the service in `explained`. Must stay out: deciding what is an error, and trying again.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from memory_pipelines.domain.errors import MemoryPipelinesError


@contextmanager
def explained() -> Iterator[None]:
    """Turn an error of ours into a failure with its message, code and details; any other passes as it is.

    Raises:
        Failure: instead of a `MemoryPipelinesError`, which is its cause.
    """
    try:
        yield
    except MemoryPipelinesError as error:
        told = {name: str(value) for name, value in (error.detail or {}).items()}
        raise dg.Failure(error.message, metadata=told | {"code": error.code, "retryable": error.retryable}) from error


def reason(event: dg.DagsterEvent) -> str:
    """Why a step failed, in one line: what the failure says, else the message of the innermost error."""
    failed = event.step_failure_data
    if failed.user_failure_data is not None and failed.user_failure_data.description:
        return failed.user_failure_data.description
    error = failed.error
    while error is not None and error.cause is not None:
        error = error.cause
    return error.message.strip() if error is not None else str(event.message)
