"""Every error a caller can meet: one closed tree, each with a stable `code` and a `retryable` flag.

    MemoryPipelinesError
    ├── InvalidInput         the caller's data is wrong; nothing was written                  400
    ├── NotFound             no such memory, key, entity or namespace                         404
    ├── Conflict             another write won, or two identities collide                     409
    ├── Gone                 it was there and is forgotten or expired                         410
    ├── Unavailable          an engine or a model did not answer; safe to try again           503
    ├── SyncTimeout          written and owed, but not yet visible where it was waited for    504
    ├── ConfigurationError   a setting, a schema or an installation is wrong                  500
    └── Refused              going on would break a promise (a record that was rolled back)   500

A new error is a new `code`, rarely a new class. Drivers' own exceptions are translated once, in the transports,
and never cross this floor. Statuses come from `STATUS`; exit codes are the entry points' business.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class MemoryPipelinesError(Exception):
    """What happened, to which id, and what to do next.

    Args:
        code: stable name of the failure, for programs.
        message: a sentence for people.
        detail: JSON-serialisable facts (`index`, `id`, `limit`, …); never a secret and never a memory's text.
    """

    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(self, code: str, message: str, detail: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.detail: dict[str, Any] = dict(detail or {})

    def __reduce__(self) -> tuple[Any, ...]:
        """Errors cross processes whole: a pool that cannot rebuild one would wait for its answer for ever."""
        return type(self), (self.code, self.message, self.detail)

    def as_dict(self) -> dict[str, Any]:
        """The error as JSON-serialisable data: `code`, `message`, `retryable`, `detail`."""
        return {"code": self.code, "message": self.message, "retryable": self.retryable, "detail": self.detail}


class InvalidInput(MemoryPipelinesError):
    """The caller's data is wrong; nothing was written."""

    status = 400


class NotFound(MemoryPipelinesError):
    """No such memory, key, entity or namespace."""

    status = 404


class Conflict(MemoryPipelinesError):
    """Another write won, or two identities collide."""

    status = 409


class Gone(MemoryPipelinesError):
    """The memory existed and is forgotten or expired."""

    status = 410


class Unavailable(MemoryPipelinesError):
    """An engine or a model did not answer. The same call may be made again."""

    status = 503
    retryable = True


class SyncTimeout(MemoryPipelinesError):
    """The write is in the record and owed; the projection that was waited for has not shown it in time."""

    status = 504
    retryable = True


class ConfigurationError(MemoryPipelinesError):
    """A setting, a schema or an installation is wrong."""


class Refused(MemoryPipelinesError):
    """Going on would break a promise, so nothing was done."""


STATUS: dict[int, type[MemoryPipelinesError]] = {
    cls.status: cls for cls in (InvalidInput, NotFound, Conflict, Gone, Unavailable, SyncTimeout)
}


def from_status(status: int, code: str, message: str, detail: Mapping[str, Any] | None = None) -> MemoryPipelinesError:
    """The error for a `PT4xx`/`PT5xx` raised by a SQL function."""
    return STATUS.get(status, Refused)(code, message, detail)
