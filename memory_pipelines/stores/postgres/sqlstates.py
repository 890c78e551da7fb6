"""What a SQLSTATE means to us: one table for every transport, so that all of them raise the same errors.

To add a meaning: a branch in `translate`. Must stay out: drivers; a transport hands over the state and the words it got.
"""

from __future__ import annotations

import json

from memory_pipelines.domain.errors import ConfigurationError, InvalidInput, MemoryPipelinesError, Refused, Unavailable, from_status

# Classes after which the same call may succeed: connection, transaction rollback (serialisation, deadlock), resources,
# object state, operator intervention, system. The same that psycopg calls operational.
_TRANSIENT_CLASSES = frozenset({"08", "27", "28", "40", "53", "54", "55", "57", "58"})
_MISSING = frozenset({"42883", "3F000", "42P01"})  # function, schema, table
_DENIED = "42501"


def is_transient(state: str) -> bool:
    """Whether a call that failed with this SQLSTATE may succeed when it is made again."""
    return state[:2] in _TRANSIENT_CLASSES


def translate(state: str, text: str, detail: str | None, function: str) -> MemoryPipelinesError:
    """The platform's error for one that Postgres raised.

    Args:
        state: five characters; empty where there is none.
        text: Postgres' primary message. Statements and their values must not be part of it.
        detail: of our own errors (`PTnnn`), a JSON object with our code.
        function: what was called.
    """
    if state.startswith("PT") and state[2:].isdigit():
        facts = json.loads(detail or "{}")
        return from_status(int(state[2:]), facts.pop("code", "refused"), text, facts)
    if state in _MISSING:
        return ConfigurationError("schema_outdated", f"The database lacks {function}: run `memory-pipelines migrate`.")
    if state == _DENIED:
        return ConfigurationError("permission_denied", f"The role may not call {function}: use the service role, or the one that migrated.")
    if state.startswith("22"):
        return InvalidInput("value_invalid", f"Postgres refused a value: {text}.")
    if is_transient(state):
        return Unavailable("record_unavailable", f"Postgres did not answer: {text}. The call may be made again.")
    return Refused("record_error", f"Postgres refused {function}: {text}.", {"sqlstate": state})
