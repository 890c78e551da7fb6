"""Which of a Supabase project's keys was given; and nothing of the key is repeated."""

from __future__ import annotations

import base64
import json

import pytest

from memory_pipelines.config import Settings
from memory_pipelines.stores.postgres.service_key import check
from memory_pipelines.wiring import rest_checks


def token(**claims: object) -> str:
    """A token with these claims and no true signature."""
    parts = (base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in ({"alg": "HS256"}, claims))
    return ".".join([*parts, "hunter2"])


@pytest.mark.parametrize(
    ("key", "state"),
    [
        ("sb_secret_hunter2", "ok"),
        (token(role="service_role", iss="supabase"), "ok"),
        ("sb_publishable_hunter2", "error"),
        (token(role="anon"), "error"),
        (token(role="authenticated"), "error"),
        (token(sub="hunter2"), "warning"),
        ("hunter2", "warning"),
        ("hunter2.####.hunter2", "warning"),
    ],
)
def test_each_kind_of_key(key: str, state: str) -> None:
    found = check(key)
    assert (found.name, found.state, bool(found.fix)) == ("supabase.key", state, state != "ok")
    assert "hunter2" not in repr(found)


def test_a_publishable_key_given_for_the_service_key_is_found_in_the_settings() -> None:
    (found,) = rest_checks(Settings(_env_file=None, supabase_key="sb_publishable_hunter2"))
    assert found.state == "error"
    assert rest_checks(Settings(_env_file=None)) == []
