"""Search: meaning and words together, filters before ranking, and what must never be found."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from memory_pipelines import MemoryClient, Settings
from memory_pipelines.domain.errors import InvalidInput, MemoryPipelinesError, NotFound
from memory_pipelines.domain.vectors import format_vector
from memory_pipelines.services import maintenance
from memory_pipelines.services.platform import Platform
from tests import engines

NOTES = {
    "cat": "My cat sleeps on the radiator all winter.",
    "rent": "The landlord raised the rent to 950 euros in March.",
    "flight": "The flight to Lisbon leaves at seven in the morning.",
    "piano": "Grandmother taught me to play the piano.",
}


@pytest.fixture
def library(client: MemoryClient) -> MemoryClient:
    client.save_many({"key": key, "text": text} for key, text in NOTES.items())
    client.sync("embeddings")
    return client


def found(client: MemoryClient, question: str, **options: object) -> list[str | None]:
    return [hit.key for hit in client.search(question, **options)]  # type: ignore[arg-type]  # each test names real ones


# -- meaning and words ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("question", "best"),
    [("pet animal napping", "cat"), ("what my apartment costs", "rent"), ("airplane departure", "flight"), ("music lessons", "piano")],
)
def test_a_question_finds_by_meaning_what_shares_no_word_with_it(library: MemoryClient, question: str, best: str) -> None:
    assert found(library, question, limit=1) == [best]


@pytest.mark.parametrize(("words", "best"), [("950", "rent"), ("radiators", "cat"), ("PLAYING", "piano"), ("Lisbon xyzzy", "flight")])
def test_any_word_may_match_in_any_form(library: MemoryClient, platform: Platform, words: str, best: str) -> None:
    hits = platform.record.search({"namespace": "default", "query": words, "limit": 5, "exact": 5000})  # no vector: words alone
    assert best in [hit.key for hit in hits]
    assert best in found(library, words, limit=2)


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("a well-known trick", "It was known."),
        ("mail to ada@example.org", "(ada@example.org) wrote."),
        ("on 2025-03-14 at 9:30", "Happened in 2025."),
        ("see https://example.org/a?b=1&c", "Look at example.org again."),
        ("R&D's budget", "The budget"),
    ],
)
def test_each_part_of_a_compound_may_match_alone(client: MemoryClient, platform: Platform, question: str, text: str) -> None:
    client.save(text, key="k")
    hits = platform.record.search({"namespace": "default", "query": question, "limit": 5, "exact": 5000})
    assert [hit.key for hit in hits] == ["k"]


def test_both_ways_together_rank_above_one_of_them(library: MemoryClient) -> None:
    hits = library.search("When does the plane to Lisbon depart?")
    assert hits[0].key == "flight"
    assert hits[0].score > hits[1].score
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert hits[0].score == pytest.approx(2 / 61)  # first by meaning and first by words


def test_what_is_not_embedded_yet_is_found_by_its_words(library: MemoryClient) -> None:
    library.save("The giraffe ate the begonias.", key="giraffe")
    assert "giraffe" in found(library, "giraffes", limit=2)  # first by words, beside the first by meaning
    library.update(library.get(key="cat").id, text="My dog sleeps in the kitchen.")
    passages = {hit.key: hit.passage for hit in library.search("kitchen", limit=2)}
    assert passages["cat"] == "My dog sleeps in the kitchen."


def test_nothing_embedded_at_all_is_no_hindrance(client: MemoryClient) -> None:
    client.save("The giraffe ate the begonias.", key="giraffe")
    assert found(client, "giraffes") == ["giraffe"]


def test_a_question_of_stop_words_or_signs_still_finds_by_meaning(library: MemoryClient) -> None:
    for question in ("what is it?", "???", "the", "🐈", "' | & ! ( ) : * \\ <->"):
        assert len(library.search(question, limit=4)) == 4


def test_a_long_text_is_one_hit_with_the_passage_that_matched(client: MemoryClient) -> None:
    filler = " ".join(f"On day {n} it rained and nothing of note happened in the office." for n in range(60))
    tale = f"{filler} Then my sister phoned: she is getting married to a beekeeper in June. {filler}"
    client.save(tale, key="tale")
    client.save("The weather report.", key="short")
    for ready in (False, True):
        if ready:
            client.sync("embeddings")
        hits = client.search("wedding of my sister")
        assert [hit.key for hit in hits].count("tale") == 1
        assert hits[0].key == "tale"
        assert "beekeeper" in hits[0].passage
        assert (hits[0].text, len(hits[0].passage) < 600) == (tale, True)


# -- filters -------------------------------------------------------------------------------------------------------------


def test_filters_choose_before_the_ranking(client: MemoryClient) -> None:
    """A hundred better hits that the filter excludes must not use up the places of the one that it lets through."""
    client.save_many({"text": f"Green tea from the mountains, harvest {n}.", "thread": "shop", "metadata": {"n": n}} for n in range(100))
    client.save("Someone drinks something warm.", thread="home", metadata={"n": 1, "of": ["me"]}, created_at="2020-02-02", key="one")
    day = timedelta(days=1)
    at = datetime(2020, 2, 2, tzinfo=UTC)
    for drained in (False, True):
        if drained:
            client.sync("embeddings")
        asked = "green tea from the mountains" if drained else "tea or something warm"
        assert found(client, asked, limit=3, thread="home") == ["one"]
        assert found(client, asked, limit=3, metadata={"of": ["me"]}) == ["one"]
        assert found(client, asked, limit=3, created_before=at + day) == ["one"]
        assert found(client, asked, limit=3, created_after=at, created_before=at + day, metadata={"n": 1}) == ["one"]
        assert found(client, asked, limit=3, created_before=at) == []
    assert len(client.search("green tea", limit=7, thread="shop")) == 7


def test_the_limit_counts_memories_not_passages(client: MemoryClient) -> None:
    sentence = "The quick brown fox jumps over the lazy dog and runs into the forest to look for berries. "
    client.save_many({"text": sentence * 40, "key": f"long {n}"} for n in range(6))
    client.save_many({"text": f"A fox, number {n}.", "key": f"short {n}"} for n in range(30))
    for drained in (False, True):
        if drained:
            client.sync("embeddings")
        for limit in (1, 5, 36, 1000):
            keys = found(client, "fox", limit=limit)
            assert len(keys) == len(set(keys)) == min(limit, 36)


# -- never ---------------------------------------------------------------------------------------------------------------


def test_the_forgotten_is_never_found_not_even_before_a_drain(library: MemoryClient) -> None:
    forgotten = library.forget(key="cat").ids[0]
    for drained in (False, True):
        if drained:
            library.sync("embeddings")
        assert forgotten not in [hit.id for hit in library.search("cat sleeping on the radiator", limit=10)]
        assert forgotten not in [hit.id for hit in library.search("pet animal napping", limit=10)]
    library.save("Something else.", key="cat", revive=True)
    library.sync("embeddings")
    assert "cat" not in found(library, "radiator", limit=1)


@pytest.mark.parametrize("path", ["not embedded", "exact", "index"])
def test_the_expired_are_never_found_and_take_nobodys_place(client: MemoryClient, settings: Settings, path: str) -> None:
    client.save_many({"text": f"Green tea, green tea, green tea {n}.", "expires_at": "2999-01-01"} for n in range(150))
    client.save_many({"text": f"Something warm: tea {n}.", "key": f"k{n}"} for n in range(5))
    tuned = settings.model_copy(update={"exact_search_passages": 0 if path == "index" else 5000})
    with MemoryClient.from_env(tuned) as reader, engines.connect(settings) as connection:
        if path != "not embedded":
            reader.sync("embeddings")
        if path == "index":
            maintenance.maintain(reader._platform)
        connection.execute("update memory.memories set expires_at = now() where expires_at is not null")
        assert sorted(str(key) for key in found(reader, "green tea", limit=5)) == [f"k{n}" for n in range(5)]
        if path != "not embedded":  # by meaning alone: what words have found must not hide that vectors found nothing
            vector = format_vector(reader._platform.embedder.embed(["green tea"])[0])
            asked = {"namespace": "default", "query": "of the", "vector": vector, "limit": 5, "exact": tuned.exact_search_passages}
            assert sorted(str(hit.key) for hit in reader._platform.record.search(asked)) == [f"k{n}" for n in range(5)]


def test_namespaces_do_not_see_each_other(library: MemoryClient) -> None:
    library.save("My cat sleeps elsewhere.", namespace="other", key="theirs")
    library.sync("embeddings")
    assert found(library, "cat", namespace="other") == ["theirs"]
    assert "theirs" not in found(library, "cat")


# -- errors --------------------------------------------------------------------------------------------------------------


def test_a_vector_of_the_wrong_length_is_refused(library: MemoryClient, platform: Platform) -> None:
    request = {"namespace": "default", "query": "cat", "limit": 5, "exact": 5000}
    with pytest.raises(InvalidInput) as error:
        platform.record.search(request | {"vector": "[1,2,3]"})
    assert (error.value.code, error.value.detail) == ("dimension_mismatch", {"dimensions": 3, "expected": 256})
    for broken in ("[1,2", "nonsense", "[]", "[1,NaN]"):
        with pytest.raises(InvalidInput):
            platform.record.search(request | {"vector": broken})
    assert found(library, "cat", limit=1) == ["cat"]


@pytest.mark.usefixtures("library")
def test_a_changed_embedder_is_an_error_and_not_a_mixture(platform: Platform) -> None:
    with pytest.raises(MemoryPipelinesError) as error:
        platform.record.generation("another-model", 256)
    assert error.value.code == "generation_conflict"


@pytest.mark.parametrize("limit", [0, -1, 1001, 10**9, True, "5", 2.5, None])
def test_a_limit_that_makes_no_sense_is_refused(client: MemoryClient, limit: object) -> None:
    client.save("My cat.")
    with pytest.raises(InvalidInput) as error:
        client.search("cat", limit=limit)  # type: ignore[arg-type]  # the point of the test
    assert error.value.code == "limit_invalid"


@pytest.mark.parametrize("question", ["", "  \n", "\u200b"])
def test_an_empty_question_is_refused(client: MemoryClient, question: str) -> None:
    client.save("My cat.")
    with pytest.raises(InvalidInput) as error:
        client.search(question)
    assert error.value.code == "query_empty"


def test_an_unknown_namespace_is_said_to_be_unknown(library: MemoryClient) -> None:
    with pytest.raises(NotFound) as error:
        library.search("cat", namespace="nobody")
    assert error.value.code == "namespace_unknown"
