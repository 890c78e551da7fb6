"""Which of a Supabase project's keys a key is, as far as the key itself says. Nothing is sent anywhere.

Must stay out: calling the API; the key's signature is the server's to check.
"""

from __future__ import annotations

import base64
import binascii
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
    role = _role(key)
    if role == "service_role":
        return ok(name, "a token with the role service_role")
    if role is not None:
        return error(name, f"a token with the role {role} was given for the service key", _FIX)
    return warning(name, "neither a Supabase key nor a token with a role", _FIX)


def _role(token: str) -> str | None:
    """The claim `role` of a JSON web token, unverified."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError):
        return None
    role = claims.get("role") if isinstance(claims, dict) else None
    return role[:40] if isinstance(role, str) else None
