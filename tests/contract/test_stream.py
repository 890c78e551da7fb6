"""The event stream against its port: what is published arrives, is taken over, is trimmed, and is never worth an outage.

To add a transport, add a line to `streams.TRANSPORTS`: the same assertions must hold for it.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from memory_pipelines.domain import events
from memory_pipelines.domain.errors import Unavailable
from memory_pipelines.domain.models import PROJECTIONS, Ref
from memory_pipelines.ports import EventStream, StreamEntry
from memory_pipelines.stores.redis import keys
from memory_pipelines.stores.redis.streams import RedisStream
from tests import engines, streams

PREFIX = streams.PREFIX
A, B, C = Ref("memory", "a"), Ref("entity", "b"), Ref("relation", "c")


@pytest.fixture(scope="module", params=streams.TRANSPORTS)
def place(request: pytest.FixtureRequest) -> Iterator[streams.Place]:
    """Where the stream is: one set of servers for all tests of the module."""
    opener = streams.TRANSPORTS[request.param]
    with opener(request.getfixturevalue("home")) as found:
        yield found


@pytest.fixture
def open_stream(place: streams.Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], EventStream]]:
    """Opens clients of one empty stream, each as a process of its own would. A busy machine may be slow to take an event."""
    monkeypatch.setattr(keys, "PUBLISH_SECONDS", 5.0)
    opened: list[EventStream] = []

    def open_another() -> EventStream:
        opened.append(place.open())
        return opened[-1]

    place.behind.empty()
    yield open_another
    for stream in opened:
        stream.close()


@pytest.fixture
def stream(open_stream: Callable[[], EventStream]) -> EventStream:
    return open_stream()


@pytest.fixture
def server(place: streams.Place) -> streams.Behind:
    """What happens to the stream behind its clients' back."""
    return place.behind


def read(stream: EventStream, group: str = "graph", consumer: str = "one", count: int = 100) -> list[StreamEntry]:
    return stream.read(group, consumer, count=count, block_ms=1)


def refs(entries: list[StreamEntry]) -> list[Ref]:
    return [ref for entry in entries for ref in entry.refs]


def settle(stream: EventStream, group: str, entries: list[StreamEntry]) -> None:
    stream.acknowledge(group, [entry.id for entry in entries])


# -- there and back ------------------------------------------------------------------------------------------------------


def test_every_group_reads_what_was_published_once_and_in_order(stream: EventStream) -> None:
    assert stream.publish([A])
    assert stream.publish([B, C])
    for group in PROJECTIONS:
        entries = read(stream, group)
        assert refs(entries) == [A, B, C]
        assert [entry.problem for entry in entries] == [None, None]
        settle(stream, group, entries)
        assert read(stream, group) == []


def test_publishing_nothing_is_fine(stream: EventStream) -> None:
    assert stream.publish([])
    assert stream.last_id() == "0-0"


def test_what_was_published_before_the_group_existed_is_read_too(stream: EventStream) -> None:
    stream.publish([A])
    assert refs(read(stream, "entities")) == [A]


def test_consumers_of_a_group_share_its_entries(stream: EventStream) -> None:
    for ref in (A, B, C):
        stream.publish([ref])
    one, two = read(stream, consumer="one", count=2), read(stream, consumer="two")
    assert (refs(one), refs(two)) == ([A, B], [C])


@examples(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.builds(Ref, st.text(), st.text()), min_size=1, max_size=20))
def test_refs_of_any_spelling_survive(stream: EventStream, sent: list[Ref]) -> None:
    if any("\ud800" <= character <= "\udfff" for ref in sent for character in ref.kind + ref.id):
        sent = [A]
    assert stream.publish(sent)
    entries = read(stream)
    assert refs(entries) == sent
    settle(stream, "graph", entries)


def test_a_blocked_reader_wakes_when_something_comes(open_stream: Callable[[], EventStream], server: streams.Behind) -> None:
    stream, other = open_stream(), open_stream()
    with ThreadPoolExecutor(2) as pool:
        reading = pool.submit(stream.read, "graph", "one", count=10, block_ms=20_000)
        waiting = pool.submit(other.wait, "0-0", block_ms=20_000)
        engines.until(lambda: server.blocked() == 2, "both wait")
        started = time.monotonic()
        open_stream().publish([A])
        assert refs(reading.result(10)) == [A]
        assert waiting.result(10) == other.last_id() != "0-0"
        assert time.monotonic() - started < 5


def test_waiting_ends_when_nothing_comes(stream: EventStream) -> None:
    assert stream.wait("0-0", block_ms=20) == "0-0"
    stream.publish([A])
    newest = stream.last_id()
    assert stream.wait("0-0", block_ms=20) == newest
    assert stream.wait(newest, block_ms=20) == newest


# -- deaths and floods ---------------------------------------------------------------------------------------------------


def test_a_dead_consumers_entries_are_taken_over(stream: EventStream, monkeypatch: pytest.MonkeyPatch) -> None:
    stream.publish([A])
    stream.publish([B])
    read(stream, consumer="dead", count=1)
    assert refs(read(stream, consumer="heir")) == [B]
    assert read(stream, consumer="heir") == []  # not dead for long enough
    monkeypatch.setattr(keys, "DEAD_CONSUMER_SECONDS", 0.0)
    inherited = read(stream, consumer="heir")
    assert A in refs(inherited)
    settle(stream, "graph", inherited)
    assert read(stream, consumer="heir") == []


def test_many_entries_of_a_dead_consumer_are_all_taken_over(stream: EventStream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "DEAD_CONSUMER_SECONDS", 0.0)
    for n in range(25):
        stream.publish([Ref("memory", str(n))])
    assert len(read(stream, consumer="dead")) == 25
    seen = []
    while entries := read(stream, consumer="heir", count=10):
        seen += refs(entries)
        settle(stream, "graph", entries)
    assert [ref.id for ref in seen] == [str(n) for n in range(25)]


def test_an_emptied_redis_starts_over(stream: EventStream, server: streams.Behind) -> None:
    stream.publish([A])
    entries = read(stream)
    server.empty()
    settle(stream, "graph", entries)  # nothing to acknowledge any more, and nothing lost by it
    assert read(stream) == []
    assert stream.publish([B])
    assert refs(read(stream)) == [B]
    assert stream.wait("0-0", block_ms=20) == stream.last_id()


def test_redis_emptied_under_a_blocked_reader_is_no_outage(stream: EventStream, server: streams.Behind) -> None:
    stream.publish([A])
    settle(stream, "graph", read(stream))
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(stream.read, "graph", "one", count=10, block_ms=20_000)
        engines.until(lambda: server.blocked(), "the reader waits")
        server.empty()
        assert reading.result(10) == []
    stream.publish([B])
    assert refs(read(stream)) == [B]


def test_a_group_that_vanished_is_made_again(stream: EventStream, server: streams.Behind) -> None:
    stream.publish([A])
    settle(stream, "graph", read(stream))
    server.forget_group("graph")
    stream.publish([B])
    assert B in refs(read(stream) + read(stream))  # the first may only learn of it


MALFORMED: list[dict[str | bytes, str | bytes]] = [
    {"v": "2", "refs": "[]"},
    {"refs": "[]"},
    {"x": "y"},
    {"v": "1"},
    {"v": "1", "refs": "[]", "extra": "somebody's meaning"},
    {"v": "1", "refs": '[["memory", "a", "b"]]'},
    {"v": "1", "refs": '[["memory", 7]]'},
    *({"v": "1", "refs": wrong} for wrong in ("nonsense", "5", "null", '[["memory"]]', '["ab", {"a": 1, "b": 2}, 7]', "[" * 100_000)),
    {"v": "1", "refs": b"\xff\xfe"},
    {b"\xc3": b"\x28"},
]


@pytest.mark.parametrize("fields", MALFORMED, ids=range(len(MALFORMED)))
def test_a_malformed_entry_is_named_and_blocks_nobody(
    stream: EventStream, server: streams.Behind, monkeypatch: pytest.MonkeyPatch, fields: dict[str | bytes, str | bytes]
) -> None:
    monkeypatch.setattr(keys, "DEAD_CONSUMER_SECONDS", 0.0)
    stream.publish([A])
    server.add(fields)
    stream.publish([B])
    assert stream.wait("0-0", block_ms=20) == stream.last_id()
    for _ in range(2):  # read, then taken over
        entries = read(stream)
        assert [entry.refs for entry in entries] == [(A,), (), (B,)]
        assert [bool(entry.problem) for entry in entries] == [False, True, False]
        assert entries[0].payload == entries[2].payload == ""
        assert 0 < len(entries[1].payload) <= events.PAYLOAD_CHARS + 1
        assert events.read_payload(entries[1].payload)[1], "what was kept of it is as unreadable as it was"
    settle(stream, "graph", entries)
    assert read(stream) == []


# -- trimming ------------------------------------------------------------------------------------------------------------


def test_what_every_group_has_settled_is_trimmed(stream: EventStream, server: streams.Behind) -> None:
    for n in range(1000):
        stream.publish([Ref("memory", str(n))])
    for group in PROJECTIONS:
        settle(stream, group, read(stream, group, count=1000))
    assert len(server.kept()) <= 100  # Redis drops whole blocks of a hundred


@pytest.mark.parametrize("behind", [*PROJECTIONS, "listeners"])
def test_trimming_never_drops_what_a_group_has_not_settled(stream: EventStream, server: streams.Behind, behind: str) -> None:
    """`behind` has read some entries and settled a few of them, in any order; the others are done with everything."""
    for n in range(500):
        stream.publish([Ref("memory", str(n))])
    late = read(stream, behind, count=250)
    settle(stream, behind, late[150:200])
    for group in {*PROJECTIONS} - {behind}:
        settle(stream, group, read(stream, group, count=1000))
    assert {str(n) for n in [*range(150), *range(200, 500)]} <= set(server.kept())
    settle(stream, behind, late[:150] + late[200:])
    assert refs(read(stream, behind, count=1000)) == [Ref("memory", str(n)) for n in range(250, 500)]
    assert len(server.kept()) >= 250


def test_nothing_is_trimmed_before_every_projection_has_a_group(stream: EventStream, server: streams.Behind) -> None:
    for n in range(300):
        stream.publish([Ref("memory", str(n))])
    settle(stream, "graph", read(stream, "graph", count=1000))
    assert len(server.kept()) == 300
    assert len(read(stream, "entities", count=1000)) == 300


def test_at_its_bound_the_stream_takes_nothing_more_and_drops_nothing(
    stream: EventStream, server: streams.Behind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it does not take is owed in the ledger; what it has taken is kept until every group has settled it."""
    monkeypatch.setattr(keys, "STREAM_LENGTH", 300)
    monkeypatch.setattr(keys, "STREAM_LOOK_EVERY", 10)
    taken = [stream.publish([Ref("memory", str(n))]) for n in range(400)]
    assert taken[:300] == [True] * 300
    assert not any(taken[310:])
    kept = server.kept()
    assert kept == [str(n) for n in range(len(kept))]
    assert 300 <= len(kept) <= 310
    for group in PROJECTIONS:
        assert len(read(stream, group, count=1000)) == len(kept)
    monkeypatch.setattr(keys, "DEAD_CONSUMER_SECONDS", 0.0)
    for group in PROJECTIONS:
        settle(stream, group, read(stream, group, count=1000))
    assert stream.publish([A]), "there is room again"
    assert refs(read(stream)) == [A]


def test_a_stream_at_its_bound_says_so(stream: EventStream, monkeypatch: pytest.MonkeyPatch) -> None:
    stream.publish([A])
    monkeypatch.setattr(keys, "STREAM_LENGTH", 1)
    assert any("bound" in warning for warning in stream.health()["warnings"])


def test_a_stream_that_is_there_has_a_closed_breaker(stream: EventStream) -> None:
    stream.publish([A])
    assert stream.breaker().mode == "closed"


# -- outages -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def black_hole() -> Iterator[str]:
    """The address of a server that takes every connection and answers none."""
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}"


def seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def test_a_redis_that_never_answers_costs_one_save_a_moment_and_the_others_nothing(black_hole: str) -> None:
    with closing(RedisStream(black_hole, PREFIX)) as stream:
        results: list[bool] = []
        assert stream.breaker().mode == "closed"
        first = seconds(lambda: results.append(stream.publish([A])))
        assert stream.breaker().mode == "open"
        others = seconds(lambda: results.extend(stream.publish([A]) for _ in range(100)))
        assert not any(results)
        assert first < 0.15
        assert others < 0.05


def test_many_threads_do_not_queue_up_at_a_redis_that_never_answers(black_hole: str) -> None:
    with closing(RedisStream(black_hole, PREFIX)) as stream:
        assert seconds(lambda: engines.at_once(*[lambda: stream.publish([A])] * 8)) < 0.3


def test_a_redis_that_is_not_there_is_false_for_a_save_and_an_error_for_a_reader() -> None:
    with closing(RedisStream("redis://127.0.0.1:1", PREFIX)) as stream:
        assert not stream.publish([A])
        for ask in (
            lambda: read(stream),
            lambda: stream.acknowledge("graph", ["1-1"]),
            lambda: stream.wait("0-0", block_ms=1),
            stream.last_id,
            stream.health,
        ):
            with pytest.raises(Unavailable) as error:
                ask()
            assert error.value.code == "stream_unavailable"


def test_a_redis_that_came_back_is_used_again(
    open_stream: Callable[[], EventStream], server: streams.Behind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "BREAKER_SECONDS", 0.05)
    stream = open_stream()
    with server.full():
        assert not stream.publish([A])  # it may not drop anything, so it refuses
        assert not stream.publish([A])
    engines.until(lambda: stream.publish([B]), "a probe ends the pause")
    assert set(refs(read(stream))) == {B}  # once by the probe, which nobody waited for, and once as promised


def test_a_stream_says_how_it_is(stream: EventStream, place: streams.Place) -> None:
    stream.publish([A])
    health = stream.health()
    assert (health["server"], health["entries"]) == (place.server, 1)
    assert health["version"]
