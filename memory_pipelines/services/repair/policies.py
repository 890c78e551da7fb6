"""What becomes of edits that somebody makes in the graph, by namespace. Must stay out: adopting them (`adoption.py`)."""

from __future__ import annotations

from collections.abc import Mapping

from memory_pipelines.domain import validation
from memory_pipelines.domain.errors import InvalidInput
from memory_pipelines.services.platform import Platform

POLICIES = ("record-wins", "adopt")


def policies(platform: Platform) -> Mapping[str, str]:
    """The policy of every namespace, by its name."""
    return platform.record.policies()


def set_policy(platform: Platform, namespace: str, outside_edits: str) -> None:
    """See `MemoryClient.set_policy`."""
    if outside_edits not in POLICIES:
        raise InvalidInput("policy_unknown", f"A policy is one of {', '.join(POLICIES)}.", {"known": list(POLICIES)})
    platform.record.set_policy(validation.namespace(namespace), outside_edits)
