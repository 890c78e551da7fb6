"""Addresses of engines as they are written in settings: of a form that we know, or refused before anything starts.

To allow a form, add its scheme to `FORMS`. Must stay out: taking an address apart, which each transport does for itself.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from memory_pipelines.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from memory_pipelines.config.settings import Settings

FORMS: dict[str, tuple[str, ...]] = {
    "database_url": ("postgresql", "postgres"),
    "redis_url": ("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster"),
    "graph_url": ("bolt", "bolt+s", "bolt+ssc", "neo4j", "neo4j+s", "neo4j+ssc", "falkor", "falkors", "unix"),
    "supabase_url": ("https", "http"),
    "openai_base_url": ("https", "http"),
}
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,29})://")
_BARE = {"database_url": re.compile(r"[a-z_]+ *="), "graph_url": re.compile(r"[/.~]")}  # libpq's `host=…`; the path of a socket


def check(settings: Settings) -> None:
    """Refuse an address that no transport of ours understands.

    Raises:
        ConfigurationError: `config_invalid`, naming the variable and the forms that there are. The address is not repeated: it may
            hold a password.
    """
    for field, schemes in FORMS.items():
        value = getattr(settings, field)
        if not value or (field == "openai_base_url" and not _asks_openai(settings)):
            continue
        text = str(getattr(value, "get_secret_value", lambda value=value: value)())
        name = f"{'' if field.startswith('openai') else 'MEMORY_'}{field.upper()}"
        found = _SCHEME.match(text)
        if field in _BARE and _BARE[field].match(text):
            continue
        if found and found[1].lower() in schemes:
            if wrong := _wrong(field, text):
                raise ConfigurationError("config_invalid", f"{name} {wrong}. See docs/operating.md.")
            continue
        if found and found[1].lower() == "memory" and field != "openai_base_url":
            instead = (
                "Leave the variable unset: an embedded engine starts by itself in MEMORY_HOME, in about a second. "
                "What shall end with a test gets a temporary folder as MEMORY_HOME."
            )
            raise ConfigurationError("config_invalid", f"{name} is `memory://`, which there is no more. {instead}")
        what = f"has the unknown scheme {found[1]!r}" if found else "is no address"
        forms = ", ".join(f"{scheme}://" for scheme in schemes)
        raise ConfigurationError("config_invalid", f"{name} {what}: it starts with {forms}. See docs/operating.md.")


def _asks_openai(settings: Settings) -> bool:
    """Whether a model is asked at all: the variable is not ours alone."""
    return any(model.partition(":")[0] == "openai" for model in (settings.embedder, settings.extractor))


def _wrong(field: str, text: str) -> str | None:
    """What a driver could not make sense of. Redis and Postgres have forms of their own (`stores/redis/address.py`, libpq)."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return "is no address: a host with colons stands in brackets"
    if field in {"redis_url", "database_url"}:
        return None
    if parts.fragment:
        return "holds a #; in a password or a path it is written %23"
    if parts.scheme == "unix":
        return None if parts.path.strip("/") and not parts.netloc else "names no socket: write unix:///path, with three slashes"
    try:
        _ = parts.port
    except ValueError:
        return "has a port that is no number up to 65535; in user and password, %3A stands for : and %2F for /"
    return None if parts.hostname or parts.scheme.startswith("falkor") else "names no host"
