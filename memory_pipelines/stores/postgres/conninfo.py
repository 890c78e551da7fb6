"""Where a Postgres is, as libpq reads it. An address that libpq cannot read is refused here, before anything waits for a connection.

Must stay out: connecting (`psycopg_transport.py`, `migrate.py`, `examine.py`).
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from memory_pipelines.domain.errors import ConfigurationError


def read(url: str) -> dict[str, Any]:
    """The parts of an address, by libpq's names.

    Args:
        url: `postgresql://…`, or libpq's own `name=value` pairs.

    Raises:
        ConfigurationError: `config_invalid`. What libpq says of it repeats the address, password included, and is therefore not told.
    """
    try:
        parts = dict(conninfo_to_dict(url))
    except psycopg.ProgrammingError:
        parts = {"port": "unreadable"}
    if all(port.isdecimal() for port in str(parts.get("port") or "").split(",") if port):
        return parts
    raise ConfigurationError(
        "config_invalid",
        "MEMORY_DATABASE_URL is not of a form that libpq reads: postgresql://user:password@host:port/database?option=value, all in small"
        " letters up to ://, with options that libpq knows, and with %40 for @, %2F for / and so on in user and password.",
    )
