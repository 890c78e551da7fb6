"""The record within one process: a transport that calls functions of Python in place of those of SQL.

Each function of `sql/functions` has a twin of the same name, arguments and answers in `functions`, in the file of the same
subject; `PostgresRecord` calls either. To follow a change in the SQL, change the twin. Must stay out: speed, and anything
that outlives the process.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from memory_pipelines.domain.errors import ConfigurationError, InvalidInput
from memory_pipelines.ports import Vectors
from memory_pipelines.stores.memory.functions import (
    aliases,
    audit,
    audit_rounds,
    dead_letters,
    embeddings,
    entities,
    explain,
    leases,
    memories,
    repair,
    search,
    status,
    sync,
)
from memory_pipelines.stores.memory.tables import held

_SUBJECTS = (memories, entities, aliases, leases, sync, dead_letters, embeddings, search, audit, audit_rounds, repair, explain, status)
_NAME = re.compile(r"memory_\w+_v[0-9]+")
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")

FUNCTIONS: dict[str, Callable[..., Any]] = {
    name: function for subject in _SUBJECTS for name, function in vars(subject).items() if _NAME.fullmatch(name)
}

WITHOUT: dict[str, str] = {
    "memory_adopt_v1": "it keeps what a person curates in the graph, and this record ends with its process",
}
"""Functions of the SQL that have no twin, each with the reason as a clause: "it …"."""


class MemoryFunctions:
    """`ports.RecordTransport` in this process. Calls come one after the other; each is a transaction.

    Args:
        name: transports with the same name share a record.
    """

    binary = True

    def __init__(self, name: str) -> None:
        self._tables = held(name)

    def call(self, function: str, payload: Mapping[str, Any]) -> Any:
        """See `ports.RecordTransport.call`. What goes in and comes out is JSON here too: nobody shares an object with the record."""
        return self._call(function, payload)

    def call_with_vectors(self, function: str, payload: Mapping[str, Any], vectors: Vectors) -> Any:
        """See `ports.RecordTransport.call_with_vectors`."""
        return self._call(function, payload, vectors)

    def empty(self) -> None:
        """Drop every row, for tests; identity and secret stay, and numbers go on."""
        self._tables.empty()

    def close(self) -> None:
        """Nothing to close: what is held is the process's."""

    def _call(self, name: str, payload: Mapping[str, Any], *beside: Any) -> Any:
        if name not in FUNCTIONS:
            why = WITHOUT.get(name, "it is not known")
            raise ConfigurationError("schema_outdated", f"The record in memory lacks {name}, because {why}: name a Postgres.")
        asked = _json(payload)
        with self._tables.transaction() as tables:
            answer = json.dumps(FUNCTIONS[name](tables, json.loads(asked), *beside))
        return json.loads(answer)


def _json(payload: Mapping[str, Any]) -> str:
    """The payload as text, refused where Postgres refuses it.

    Raises:
        InvalidInput: `value_invalid` for NaN, infinity and the character 0.
    """
    try:
        text = json.dumps(payload, allow_nan=False)
    except ValueError as problem:
        raise InvalidInput("value_invalid", f"The record refused a value: {problem}.") from None
    if _NUL.search(text):
        raise InvalidInput("value_invalid", "The record refused a value: a text holds the character 0.")
    return text
