"""What one transaction of the record waits for of another, and what it judges again once it has waited.

Each test holds one transaction open, starts the other, and lets the first end once the second waits for it (or, in a broken build, has
ended without). Must stay out: many at once (`test_at_once.py`, `tests/contract/record/test_at_once.py`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from memory_pipelines import MemoryClient, Settings
from memory_pipelines.domain.models import EntityMention, Links, Ref
from memory_pipelines.ports import RecordStore
from memory_pipelines.services import maintenance
from memory_pipelines.services.platform import Platform
from tests import engines

ADA = {"name": "Ada", "type": "person"}
LOVELACE = {"name": "Lovelace", "type": "person"}
COUNTESS = {"name": "Countess", "type": "person"}


def meanwhile(settings: Settings, first: tuple[str, dict[str, Any]], second: Callable[[], Any]) -> Any:
    """Call one SQL function in a transaction that stays open while `second` begins; commit, and return what `second` gave."""
    with psycopg.connect(engines.database_url(settings)) as holder, engines.connect(settings) as watcher, ThreadPoolExecutor(1) as pool:
        holder.execute(f"select {first[0]}(%s)", [json.dumps(first[1])])  # type: ignore[arg-type]  # a name of ours
        running = pool.submit(second)

        def waits() -> bool:
            blocked = watcher.execute(
                "select exists (select from pg_stat_activity where cardinality(pg_blocking_pids(pid)) > 0)"
            ).fetchone()
            return running.done() or bool(blocked and blocked[0])

        engines.until(waits, "the second waits for the first, or has ended")
        holder.commit()
        return running.result(30)


@pytest.fixture
def record(platform: Platform) -> RecordStore:
    return platform.record


def test_a_new_support_waits_for_the_last_ones_removal_and_revives(client: MemoryClient, settings: Settings) -> None:
    old, new = client.save("Ada came.", entities=[ADA]), client.save("Somebody came.")
    meanwhile(settings, ("memory_forget_v1", {"ids": [old.id]}), lambda: client.update(new.id, entities=[ADA]))
    assert client.entity("Ada").mentions == 1
    client.sync()
    assert client.audit(deep=True).clean


def test_an_extraction_waits_for_the_last_ones_removal_and_revives(client: MemoryClient, record: RecordStore, settings: Settings) -> None:
    old, new = client.save("Ada came.", entities=[ADA]), client.save("Somebody came.")
    claim = record.claim("entities", refs=None, limit=10, owed_for_seconds=0)
    (row,) = [row for row in claim.rows if row.id == new.id]
    found = {"id": row.id, "number": row.number, "version": 1, "links": Links((EntityMention("Ada", "person"),))}
    meanwhile(settings, ("memory_forget_v1", {"ids": [old.id]}), lambda: record.store_links([found]))
    assert client.entity("Ada").mentions == 1


@pytest.mark.parametrize("first", ["forget", "update"])
def test_an_extraction_waits_for_what_happens_to_its_memory_and_is_refused(
    client: MemoryClient, record: RecordStore, settings: Settings, first: str
) -> None:
    """Judged before the other had ended, links of a text that is gone would be stored, with nobody to take them away."""
    saved = client.save("Ada came.")
    (row,) = record.claim("entities", refs=[Ref("memory", saved.id)], limit=1).rows
    found = {"id": row.id, "number": row.number, "version": 1, "links": Links((EntityMention("Ada", "person"),))}
    changes = {"text": "Nobody came.", "passages": ["Nobody came."]}
    asked = {"ids": [saved.id]} if first == "forget" else {"id": saved.id, "changes": changes}
    stored = meanwhile(settings, (f"memory_{first}_v1", asked), lambda: record.store_links([found]))
    assert (stored["stored"], stored["superseded"]) == (0, 1)
    assert record.find_entity("default", "Ada", None)["entity"] is None
    client.sync()
    assert client.audit(deep=True).clean


def test_the_last_supports_removal_waits_for_a_new_one_and_deletes_nothing(client: MemoryClient, settings: Settings) -> None:
    old = client.save("Ada came.", entities=[ADA])
    revision = client.entity("Ada").revision
    item = {
        "id": "00000000-0000-7000-8000-000000000001", "namespace": "default", "text": "Ada went.", "passages": ["Ada went."],
        "metadata": {}, "given": {"entities": [{**ADA, "key": "ada"}], "relations": []},
    }  # fmt: skip
    meanwhile(settings, ("memory_save_v1", {"memories": [item]}), lambda: client.forget(old.id))
    found = client.entity("Ada")
    assert (found.mentions, found.revision) == (1, revision), "it never was without support"


def test_an_expiry_is_judged_again_once_the_row_is_had(client: MemoryClient, platform: Platform, settings: Settings) -> None:
    saved = client.save("Good for a while.", expires_at="2199-01-01")
    with engines.connect(settings) as connection:
        connection.execute("update memory.memories set expires_at = now() - interval '1 second' where id = %s", [saved.id])
    prolonging = "update memory.memories set expires_at = now() + interval '1 day' where id = (input::jsonb ->> 'id')::uuid"
    with engines.connect(settings) as connection:
        connection.execute(f"create or replace function public.prolong(input text) returns void language sql as $$ {prolonging} $$")
    done = meanwhile(settings, ("public.prolong", {"id": saved.id}), lambda: maintenance.maintain(platform))
    assert done["expired"] == 0
    assert client.get(saved.id).text == "Good for a while."


def save(client: MemoryClient, record: RecordStore, id_: str) -> None:
    del record, id_
    client.save("The countess went.", entities=[COUNTESS])


def save_many(client: MemoryClient, record: RecordStore, id_: str) -> None:
    del record, id_
    client.save_many([{"text": "It rained."}, {"text": "The countess went.", "entities": [COUNTESS]}])


def update(client: MemoryClient, record: RecordStore, id_: str) -> None:
    del record
    client.update(id_, entities=[COUNTESS])


def extract(client: MemoryClient, record: RecordStore, id_: str) -> None:
    del client
    (row,) = record.claim("entities", refs=[Ref("memory", id_)], limit=1).rows
    found = {"id": row.id, "number": row.number, "version": 1, "links": Links((EntityMention("Countess", "person"),))}
    assert record.store_links([found])["stored"] == 1


@pytest.mark.parametrize("naming", [save, save_many, update, extract])
def test_whoever_names_an_entity_waits_for_its_merge_and_shows_what_it_became(
    client: MemoryClient, record: RecordStore, settings: Settings, naming: Callable[[MemoryClient, RecordStore, str], None]
) -> None:
    """A namespace's aliases are kept before a name is looked up: looked up before the merge, it would be shown as what is no more.

    It names what was merged before: of that the merge writes no row, so that nothing else makes one wait.
    """
    client.save("Ada met Countess Lovelace.", entities=[ADA, LOVELACE, COUNTESS])
    client.merge_entities("Countess", "Lovelace")
    other = client.save("Somebody went.").id
    merge = {"namespace": "default", "source": {"name": "Lovelace", "key": "lovelace"}, "target": {"name": "Ada", "key": "ada"}}
    meanwhile(settings, ("memory_merge_entities_v1", merge), lambda: naming(client, record, other))
    mentions = {(row["source"], row["target"]) for row in record.audit_expected("mention", buckets=(0, 4096))}
    ada = client.entity("Ada")
    assert mentions == {(row.memory, ada.id) for row in ada.memories}, "each is shown as Ada; no audit would miss one that is not"
    assert ada.mentions == 2
    client.sync()
    assert client.audit(deep=True).clean


def test_a_merge_waits_for_a_save_that_names(client: MemoryClient, settings: Settings) -> None:
    client.save("Ada met Countess Lovelace.", entities=[ADA, LOVELACE])
    item = {
        "id": "00000000-0000-7000-8000-000000000002", "namespace": "default", "text": "Lovelace went.", "passages": ["Lovelace went."],
        "metadata": {}, "given": {"entities": [{**LOVELACE, "key": "lovelace"}], "relations": []},
    }  # fmt: skip
    meanwhile(settings, ("memory_save_v1", {"memories": [item]}), lambda: client.merge_entities("Lovelace", "Ada"))
    assert client.entity("Ada").mentions == 2
    client.sync()
    assert client.audit(deep=True).clean
