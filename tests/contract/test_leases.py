"""Leases against their port: one holder at a time, numbers that rise, and late writers that are refused.

To add a record, see `tests/records.py`: the same assertions must hold for it. What needs processes of its own runs where a record is
shared between processes.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import partial

import pytest
from uuid_utils import uuid7

from memory_pipelines import MemoryClient, Settings
from memory_pipelines.domain.errors import Conflict
from memory_pipelines.domain.models import EntityMention, Lease, Links, MemoryInput, Ref
from memory_pipelines.ports import RecordStore
from memory_pipelines.services import leases
from memory_pipelines.services.platform import Platform
from tests import engines
from tests.integration import faults


def taken(record: RecordStore, name: str, holder: str, seconds: float = 30.0) -> Lease | None:
    """The lease, or None while another holds it."""
    try:
        return record.acquire_lease(name, holder, lease_seconds=seconds)
    except Conflict as error:
        if error.code != "lease_held":
            raise
        return None


def owed_links(record: RecordStore) -> tuple[str, list[dict[str, object]]]:
    """A memory that owes its links, and a result for it."""
    id_ = str(uuid7())
    record.save([MemoryInput(id=id_, text="Ada.", passages=("Ada.",))])
    (row,) = record.claim("entities", refs=[Ref("memory", id_)], limit=1).rows
    return id_, [{"id": id_, "number": row.number, "version": 1, "links": Links((EntityMention("Ada", "person"),))}]


def test_a_name_has_one_holder_and_says_which(record: RecordStore) -> None:
    held = record.acquire_lease("restore", "one", lease_seconds=30)
    assert held.until is not None
    with pytest.raises(Conflict) as error:
        record.acquire_lease("restore", "two", lease_seconds=30)
    assert (error.value.code, error.value.detail["holder"], error.value.detail["name"]) == ("lease_held", "one", "restore")
    assert error.value.detail["until"]
    assert taken(record, "another", "two") is not None
    assert record.release_lease(held)
    assert taken(record, "restore", "two") is not None


def test_numbers_rise_with_every_grant_and_with_no_renewal(record: RecordStore) -> None:
    first = record.acquire_lease("x", "one", lease_seconds=30)
    again = record.acquire_lease("x", "one", lease_seconds=30)  # its own, and yet what it began before is late
    renewed = record.renew_lease(again, lease_seconds=60)
    assert first.fence < again.fence == renewed.fence
    assert again.until is not None
    assert renewed.until is not None
    assert renewed.until > again.until
    record.release_lease(renewed)
    other = record.acquire_lease("x", "two", lease_seconds=30)
    assert other.fence > again.fence
    assert record.acquire_lease("y", "two", lease_seconds=30).fence > other.fence


def test_of_many_at_once_one_holds_and_their_numbers_are_in_order(record: RecordStore) -> None:
    last = 0
    for turn in range(10):
        found = engines.at_once(*[partial(taken, record, "x", f"{turn} {n}") for n in range(6)])
        (held,) = [lease for lease in found if lease is not None]
        assert held.fence > last
        last = held.fence
        assert record.release_lease(held)


def test_a_lease_ends_by_the_records_clock(record: RecordStore) -> None:
    record.acquire_lease("x", "one", lease_seconds=0.2)
    held = engines.until(lambda: taken(record, "x", "two"), "a holder that gave no sign holds nothing")
    assert taken(record, "x", "three") is None
    assert held.until is not None


def test_what_ran_out_may_be_renewed_until_another_has_it(record: RecordStore) -> None:
    first = record.acquire_lease("x", "one", lease_seconds=0.000001)
    record.renew_lease(first, lease_seconds=30)
    assert taken(record, "x", "two") is None
    record.renew_lease(first, lease_seconds=0.000001)
    assert taken(record, "x", "two") is not None
    with pytest.raises(Conflict) as error:
        record.renew_lease(first, lease_seconds=30)
    assert (error.value.code, error.value.detail["fence"]) == ("lease_lost", first.fence)


def test_what_another_holds_is_not_given_back(record: RecordStore) -> None:
    late = record.acquire_lease("x", "one", lease_seconds=0.000001)
    holder = record.acquire_lease("x", "two", lease_seconds=30)
    assert not record.release_lease(late)
    assert not record.release_lease(Lease("nobody's", 1))
    assert taken(record, "x", "three") is None
    assert record.release_lease(holder)
    assert not record.release_lease(holder)
    with pytest.raises(Conflict):
        record.renew_lease(holder, lease_seconds=30)


def test_links_that_come_late_are_refused_and_nothing_of_them_is_there(record: RecordStore) -> None:
    id_, rows = owed_links(record)
    late = Lease("entities", record.begin_drain("entities", "slept", lease_seconds=0.000001))
    holder = Lease("entities", record.begin_drain("entities", "awake", lease_seconds=30))
    assert 0 < late.fence < holder.fence
    with pytest.raises(Conflict) as error:
        record.store_links(rows, lease=late)
    assert (error.value.code, error.value.retryable) == ("lease_lost", False)
    counts = record.counts()
    assert (counts["entities"], counts["mentions"]) == (0, 0)
    (row,) = record.claim("entities", refs=[Ref("memory", id_)], limit=1).rows
    assert row.attempts == 0, "nothing is charged to it"
    assert record.store_links(rows, lease=holder)["stored"] == 1
    assert record.counts()["mentions"] == 1


def test_what_ran_out_may_store_until_another_has_it(record: RecordStore) -> None:
    _, rows = owed_links(record)
    assert record.store_links(rows, lease=record.acquire_lease("entities", "one", lease_seconds=0.000001))["stored"] == 1


@pytest.mark.parametrize("task", ["expire", "fold", "claim"])
def test_maintenance_that_comes_late_is_refused(record: RecordStore, task: str) -> None:
    late = record.acquire_lease("maintenance", "one", lease_seconds=0.000001)
    holder = record.acquire_lease("maintenance", "two", lease_seconds=30)
    with pytest.raises(Conflict) as error:
        record.maintain(task, limit=1, lease=late)
    assert error.value.code == "lease_lost"
    record.maintain(task, limit=1, lease=holder)


def test_a_merge_that_comes_late_is_refused(record: RecordStore) -> None:
    names = (EntityMention("Ada", "person"), EntityMention("Ben", "person"))
    record.save([MemoryInput(id=str(uuid7()), text="x", passages=("x",), entities=names)])
    late = record.acquire_lease("merging", "one", lease_seconds=0.000001)
    holder = record.acquire_lease("merging", "two", lease_seconds=30)
    with pytest.raises(Conflict):
        record.merge_entities("default", "Ada", "Ben", by=None, lease=late)
    assert record.aliases("default", limit=10) == ()
    record.merge_entities("default", "Ada", "Ben", by=None, lease=holder)
    with pytest.raises(Conflict):
        record.unmerge_entity("default", "Ada", lease=late)
    assert len(record.aliases("default", limit=10)) == 1


def test_a_store_under_way_and_a_takeover_are_one_after_the_other(record: RecordStore, settings: Settings) -> None:
    """Whoever has looked at the number keeps it from rising until it commits; renewing goes on meanwhile."""
    held = record.acquire_lease("x", "one", lease_seconds=0.000001)
    with engines.connect(settings) as connection, connection.transaction():
        connection.execute("select memory.check_lease(jsonb_build_object('name', 'x', 'fence', %s::bigint))", [held.fence])
        record.renew_lease(held, lease_seconds=0.000001)
        with pytest.raises(TimeoutError):
            _granted_within(record, settings)
    assert engines.until(lambda: taken(record, "x", "three"), "the writer has committed").fence > held.fence


def _granted_within(record: RecordStore, settings: Settings) -> None:
    del record
    with engines.connect(settings) as other:
        other.execute("set lock_timeout = '300ms'")
        try:
            other.execute("select memory.grant_lease('x', 'two', 30)")
        except Exception as error:
            raise TimeoutError(str(error)) from error


# -- across processes ----------------------------------------------------------------------------------------------------

_CONTENDER = """
import sys
from memory_pipelines import MemoryClient
from memory_pipelines.domain.errors import Conflict
won = []
with MemoryClient.from_env() as client:
    for turn in range(60):
        try:
            lease = client._platform.record.acquire_lease("x", sys.argv[1], lease_seconds=30)
        except Conflict:
            continue
        won.append(lease.fence)
        client._platform.record.release_lease(lease)
print(won)
"""


def test_processes_never_hold_one_name_under_one_number(platform: Platform, settings: Settings) -> None:
    platform.record.counts()
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _CONTENDER, f"p{n}"], env=faults.environment(settings), stdout=subprocess.PIPE, text=True, cwd="/"
        )
        for n in range(3)
    ]
    fences: list[int] = []
    for process in processes:
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        won = [int(part) for part in out.strip("[]\n ").split(",") if part.strip()]
        assert won == sorted(won)
        fences.extend(won)
    assert len(set(fences)) == len(fences) > 0


_SLEEPER = """
import signal, threading
from memory_pipelines import MemoryClient
from memory_pipelines.services.sync import drains
from memory_pipelines.services.projections import entities
before = entities.store
def store(platform, batch):
    print("about to store", flush=True)
    # Frozen between its look and its write. Sent to this thread: of a signal to the process another takes note, and this one goes on.
    signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
    return before(platform, batch)
entities.store = store
with MemoryClient.from_env() as client:
    result = drains.drain(client._platform, "entities", quiet_seconds=0.0)
print(result.lease_lost, result.done, result.failed, result.busy, flush=True)
"""


@pytest.mark.usefixtures("platform")
def test_a_drain_that_is_frozen_past_its_lease_writes_nothing_when_it_wakes(settings: Settings) -> None:
    brief = settings.model_copy(update={"lease_seconds": 1.0})
    with MemoryClient.from_env(brief) as client:
        ids = [saved.id for saved in client.save_many([{"text": f"Ada met Ben {n} times."} for n in range(20)])]
        with subprocess.Popen(
            [sys.executable, "-c", _SLEEPER], env=faults.environment(brief), stdout=subprocess.PIPE, text=True, cwd="/"
        ) as sleeper:
            assert sleeper.stdout is not None
            try:
                assert sleeper.stdout.readline() == "about to store\n"
                engines.until(lambda: _stopped(sleeper.pid), "it is frozen")
                # Others go on: what it looked at is written anew, and taken over.
                client.save("Cleo came instead.", id=ids[0])
                engines.until(lambda: not client.sync("entities")[0].busy, "its lease ran out", 20)
                assert client.status().owed["entities"] == 0
                before = _links(settings)
                client._platform.record.owe([{"projection": "entities", "kind": "memory", "id": id_} for id_ in ids])
                owed = client.status().owed["entities"]
                os.kill(sleeper.pid, signal.SIGCONT)
                said, _ = sleeper.communicate(timeout=30)
            finally:
                sleeper.kill()
        assert said.split() == ["True", "0", "0", "False"], "it ends by itself, and says that it lost its lease"
        assert _links(settings) == before, "nothing of it is visible"
        assert client.status().owed["entities"] == owed
        assert client.status().parked == 0
        with engines.connect(settings) as connection:
            assert connection.execute("select max(attempts) from memory.ledger").fetchone() == (0,)
        client.sync()
        assert client.audit(deep=True).findings == ()


def _stopped(pid: int) -> bool:
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[0] == "T"


def _links(settings: Settings) -> list[tuple[object, ...]]:
    with engines.connect(settings) as connection:
        return connection.execute("select memory_id, entity_id, version from memory.mentions order by 1, 2").fetchall()


# -- the service ---------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("platform")
def test_a_lease_that_is_held_for_long_is_renewed_and_given_back(settings: Settings) -> None:
    brief = settings.model_copy(update={"lease_seconds": 0.3})
    with MemoryClient.from_env(brief) as client:
        with leases.hold(client._platform, leases.RESTORE) as lease:
            assert lease.until is not None
            until = lease.until
            engines.until(lambda: _until(settings, leases.RESTORE) > until, "it was renewed")
            with pytest.raises(Conflict), leases.hold(client._platform, leases.RESTORE):
                pytest.fail("two hold it")
        with leases.hold(client._platform, leases.RESTORE) as later:
            assert later.fence > lease.fence


def _until(settings: Settings, name: str) -> object:
    with engines.connect(settings) as connection:
        row = connection.execute("select lease_until from memory.heartbeats where projection = %s", [name]).fetchone()
    assert row is not None
    return row[0]


def test_who_waits_for_a_lease_gets_it_when_its_holder_is_dead(platform: Platform) -> None:
    platform.record.acquire_lease("x", "dead", lease_seconds=0.5)
    with pytest.raises(Conflict), leases.hold(platform, "x"):
        pytest.fail("it is held")
    with leases.hold(platform, "x", wait_seconds=10) as lease:
        assert lease.fence > 0
