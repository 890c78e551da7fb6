"""What an audit sums over mentions is what projections show of them, merged or not."""

from __future__ import annotations

from memory_pipelines import MemoryClient
from memory_pipelines.services.platform import Platform
from tests import engines

SHOWN = (
    "select m.bucket, count(*), sum((n.digest >> 32) & 4294967295), sum(n.digest & 4294967295)"
    " from memory.shown_mentions n join memory.memories m on m.id = n.memory_id where m.deleted_at is null group by m.bucket"
)


def test_an_audit_sums_each_mention_as_it_is_shown_and_once(platform: Platform) -> None:
    client = MemoryClient(platform)
    people = [{"name": name, "type": "person"} for name in ("Ada", "Ben", "Cleo", "Dora")]
    for given in (people[:1], people[:2], people[:3], people[1:3], people):
        client.save(f"{len(given)} of them", entities=given)
    for source, target in (("Ada", "Ben"), ("Ben", "Cleo")):
        client.merge_entities(source, target)
    with engines.connect(platform.settings) as connection:
        expected = sorted([int(value) for value in row] for row in connection.execute(SHOWN))
        named = connection.execute("select count(*) from memory.mentions").fetchone()
    assert sorted(platform.record.audit_sums("mention")) == expected
    assert (named, sum(row[1] for row in expected)) == ((12,), 6), "five memories show Cleo, and one of them Dora"
