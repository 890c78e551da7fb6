"""Which lines of a source are overtaken by a later line of the same source.

A file may tell how a fact changed: several lines with one key, the last of them true. Importing it again must change
nothing, so a line that is overtaken further down is not written again once the memory's history holds it. Which lines
those are is found in a first pass over the source, in a few megabytes whatever its size.

Lives here: that first pass, and the look into the history. Must stay out: writing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from hashlib import blake2b

from memory_pipelines.domain.errors import Gone, NotFound
from memory_pipelines.domain.models import MemoryInput
from memory_pipelines.services import memories as memories_service
from memory_pipelines.services.platform import Platform

_BITS = 1 << 27


class Repeats:
    """The last line of every identity that occurs more than once.

    A bitmap of hashes stands for "seen before"; where it errs, an identity that occurs once is remembered with its own
    line, which changes nothing.
    """

    def __init__(self, identities: Iterable[tuple[int, str | None]] = ()) -> None:
        """Args: identities: line number and identity of each line, in order; None for a line that has none."""
        self._last: dict[bytes, int] = {}
        seen: bytearray | None = None
        for line, identity in identities:
            if identity is None:
                continue
            seen = bytearray(_BITS // 8) if seen is None else seen
            digest = _digest(identity)
            bit = int.from_bytes(digest[:8]) % _BITS
            if seen[bit >> 3] & (1 << (bit & 7)):
                self._last[digest] = line
            seen[bit >> 3] |= 1 << (bit & 7)

    def overtaken(self, identity: str | None, line: int) -> bool:
        """Whether a later line has the same identity."""
        return bool(self._last) and identity is not None and self._last.get(_digest(identity), line) > line


class History:
    """What the record already knows of a memory, read once for each memory that is asked for."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._known: dict[str, frozenset[str] | None] = {}

    def holds(self, identity: str, memory: MemoryInput) -> bool:
        """Whether this text and metadata were a version of the memory before, or the memory is forgotten."""
        if identity not in self._known:
            self._known[identity] = self._read(memory)
        versions = self._known[identity]
        return versions is None or _version(memory.text, memory.metadata) in versions

    def _read(self, memory: MemoryInput) -> frozenset[str] | None:
        try:
            if memory.id_given:
                found = memories_service.get(self._platform, id=memory.id, key=None, namespace=memory.namespace)
            else:
                found = memories_service.get(self._platform, id=None, key=memory.key, namespace=memory.namespace)
        except NotFound:
            return frozenset()
        except Gone as error:
            return None if error.code == "memory_forgotten" else frozenset()
        versions = memories_service.history(self._platform, found.id)
        return frozenset(_version(entry.text, entry.metadata) for entry in versions)


def _digest(identity: str) -> bytes:
    return blake2b(identity.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _version(text: object, metadata: object) -> str:
    return _digest(json.dumps([text, metadata or {}], sort_keys=True)).hex()
