"""Addresses of engines as they are written in settings: of a form that we know, or refused before anything starts.

To allow a form, add its scheme to `FORMS`. Must stay out: taking an address apart, which each transport does for itself.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from memory_pipelines.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from memory_pipelines.config.settings import Settings

FORMS: dict[str, tuple[str, ...]] = {
    "database_url": ("postgresql", "postgres"),
    "redis_url": ("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster"),
    "graph_url": ("bolt", "bolt+s", "bolt+ssc", "neo4j", "neo4j+s", "neo4j+ssc", "falkor", "falkors", "unix"),
    "supabase_url": ("https", "http"),
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
        if not value:
            continue
        text = str(getattr(value, "get_secret_value", lambda value=value: value)())
        found = _SCHEME.match(text)
        if (found and found[1].lower() in schemes) or (field in _BARE and _BARE[field].match(text)):
            continue
        forms = ", ".join(f"{scheme}://" for scheme in schemes)
        if found and found[1] == "memory":
            instead = "Nothing is kept in the process: leave the variable unset, and an embedded engine starts by itself in MEMORY_HOME."
            raise ConfigurationError("config_invalid", f"MEMORY_{field.upper()} is `memory://`, which there is no more. {instead}")
        what = f"has the unknown scheme {found[1]!r}" if found else "is no address"
        raise ConfigurationError("config_invalid", f"MEMORY_{field.upper()} {what}: it starts with {forms}. See docs/operating.md.")
