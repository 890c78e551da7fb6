"""Which of a Supabase project's keys a key is, as far as the key itself says. Nothing is sent anywhere.

Must stay out: calling the API; the key's signature is the server's to check.
"""

from __future__ import annotations

import base64
import json

from memory_pipelines.domain.diagnosis import Check, error, ok, warning

_FIX = "Set MEMORY_SUPABASE_KEY to the secret key (`sb_secret_…`), or to the older one with the role `service_role`."


def check(key: str) -> Check:
    """Whether a key is the service's. A publishable one may call none of the functions, and every call would fail.

    Args:
        key: the value of MEMORY_SUPABASE_KEY; never repeated in what is said.
    """
    name = "supabase.key"
    if key.startswith("sb_publishable_"):
        return error(name, "a publishable key was given for the service key", _FIX)
    if key.startswith("sb_secret_"):
        return ok(name, "a secret key")
    found = role(key)
    if found == "service_role":
        return ok(name, "a token with the role service_role")
    if found is not None:
        return error(name, f"a token with the role {found} was given for the service key", _FIX)
    return warning(name, "neither a Supabase key nor a token with a role", _FIX)


def role(token: str) -> str | None:
    """The role that a JSON web token claims, unverified; None for a key of another form."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return None
    return str(claims["role"])[:40] if isinstance(claims, dict) and "role" in claims else None
