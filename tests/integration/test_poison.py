"""Poison texts and bad answers of a model, over a real socket: the one that fails is parked alone, and nothing that was there is lost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from memory_pipelines import MemoryClient, Settings
from memory_pipelines.domain.errors import MemoryPipelinesError, Unavailable
from memory_pipelines.services.sync import drains
from tests import engines
from tests.integration import faults
from tests.openai_server import KEY, Fault, OpenAIServer
from tests.openai_server import openai_server as openai_server  # the fixture


@pytest.fixture
def modelled(home: Any, openai_server: OpenAIServer) -> Settings:
    """Settings whose embedder and extractor are asked over the network."""
    found = engines.settings_for(
        home, embedder="openai:local", embedding_dimensions=64, extractor="openai:local", openai_api_key=KEY,
        openai_base_url=openai_server.url, max_attempts=2, breaker_failures=2, breaker_seconds=0.4,
    )  # fmt: skip
    engines.empty(found)
    return found


@pytest.fixture
def asking(modelled: Settings) -> Iterator[MemoryClient]:
    with MemoryClient.from_env(modelled) as client:
        yield client


def mentions(client: MemoryClient) -> int:
    return client.status().counts["mentions"]


def test_a_text_that_the_embedder_refuses_is_parked_at_once_and_alone(asking: MemoryClient, openai_server: OpenAIServer) -> None:
    poison = {"status": 400, "code": "invalid_value", "again": True}
    openai_server.faults.append(Fault(**poison, when=lambda body: any("poison" in text for text in body.get("input", []))))
    ids = [saved.id for saved in asking.save_many([{"text": f"Note {n}." if n != 7 else "It is poison."} for n in range(20)])]
    asking.sync("embeddings")
    (letter,) = asking.dead_letters()
    assert (letter.id, letter.code, letter.attempts, letter.projection) == (ids[7], "embedding_refused", 1, "embeddings")
    assert asking.status().owed["embeddings"] == 0
    openai_server.faults.clear()
    assert asking.retry_dead(letter.name).rows == 1
    asking.sync()
    assert len(asking.dead_letters()) == 0
    assert asking.audit(deep=True).clean


def test_where_a_harmless_text_is_refused_too_no_row_is_to_blame(asking: MemoryClient, openai_server: OpenAIServer) -> None:
    openai_server.faults.append(Fault(status=400, code="invalid_value", again=True, when=lambda body: "input" in body))
    ids = [saved.id for saved in asking.save_many([{"text": f"Note {n}."} for n in range(5)])]
    with pytest.raises(MemoryPipelinesError):
        asking.sync("embeddings")
    assert (len(asking.dead_letters()), asking.status().owed["embeddings"]) == (0, 5)
    openai_server.faults.clear()
    engines.until(lambda: asking.status().breakers["embedder"]["mode"] != "open", "whoever was charged with it lets one through again")
    asking.sync()
    assert all(asking.sync_state(id_).settled for id_ in ids)


@pytest.mark.parametrize(
    ("answer", "code", "attempts"),
    [("nonsense", "extraction_invalid", 2), ('{"entities": 5, "relations": []}', "extraction_invalid", 2)],
)
def test_an_invalid_extraction_is_parked_with_its_cost_and_deletes_nothing(
    asking: MemoryClient,
    modelled: Settings,
    openai_server: OpenAIServer,
    answer: str,
    code: str,
    attempts: int,
) -> None:
    usual = openai_server.extract
    saved = asking.save("Ada lives in Porto.").id
    asking.sync()
    assert mentions(asking) == 2
    openai_server.extract = lambda _: answer
    asking.rebuild("entities")
    with engines.connect(modelled) as connection:
        connection.execute("update memory.ledger set retry_at = null")  # its pause is over
    asking.sync("entities")
    (letter,) = asking.dead_letters()
    assert (letter.id, letter.code, letter.attempts, letter.tokens_spent) == (saved, code, attempts, 15 * attempts)
    assert mentions(asking) == 2
    openai_server.extract = usual
    asking.retry_dead(all_of_them=True)
    asking.sync()
    assert asking.audit(deep=True).clean


def test_an_extraction_that_finds_nothing_in_the_same_text_is_parked_and_its_links_stay(
    asking: MemoryClient,
    openai_server: OpenAIServer,
) -> None:
    saved = asking.save("Ada lives in Porto.").id
    asking.sync()
    openai_server.extract = lambda _: {"entities": [], "relations": []}
    asking.rebuild("entities")
    (letter,) = asking.dead_letters()
    assert (letter.id, letter.code, letter.tokens_spent) == (saved, "extraction_emptied", 15)
    assert mentions(asking) == 2
    other = asking.save("Nothing to be found in Rome.").id
    asking.sync()
    assert asking.sync_state(other).settled, "where nothing was before, nothing is a valid answer"
    asking.retry_dead(letter.name, accept_empty=True)
    asking.sync()
    assert (len(asking.dead_letters()), mentions(asking)) == (0, 0)
    assert asking.audit(deep=True).clean


def test_a_rate_limit_that_lasts_is_an_outage_of_the_model_and_charged_to_its_breaker(
    asking: MemoryClient,
    openai_server: OpenAIServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(drains, "_PATIENCE_SECONDS", 20.0)
    openai_server.faults.append(Fault(status=429, headers={"Retry-After": "0.01"}, again=True))
    saved = [asking.save(f"Ada met Ben, {n}.").id for n in range(5)]
    with pytest.raises(Unavailable):
        asking.sync("entities")
    status = asking.status()
    assert (status.breakers["extractor"]["mode"] != "closed", status.parked, status.owed["entities"]) == (True, 0, 5)
    assert status.breakers["extractor"]["reason"] == "extractor_unavailable"
    openai_server.faults.clear()
    engines.until(lambda: asking.status().breakers["extractor"]["mode"] == "half-open", "the period ends")
    asking.sync()
    assert asking.status().breakers["extractor"]["mode"] == "closed"
    assert all(asking.sync_state(id_).settled for id_ in saved)


def test_a_drain_that_is_killed_after_it_parked_loses_nothing(
    asking: MemoryClient,
    modelled: Settings,
    openai_server: OpenAIServer,
) -> None:
    poison = {"status": 400, "code": "invalid_value", "again": True}
    openai_server.faults.append(Fault(**poison, when=lambda body: any("poison" in text for text in body.get("input", []))))
    quick = modelled.model_copy(update={"lease_seconds": 0.5})
    saved = asking.save("It is poison.").id
    faults.killed_at(
        quick, "dead.parked", f"import os\nos.environ.update(OPENAI_API_KEY={KEY!r}, OPENAI_BASE_URL={openai_server.url!r})\n"
        "from memory_pipelines import MemoryClient\nclient = MemoryClient.from_env()\nsync.drain(client._platform, 'embeddings')",
    )  # fmt: skip
    (letter,) = asking.dead_letters()
    assert (letter.id, letter.attempts) == (saved, 1)
    other = asking.save("Another.").id
    asking.sync()
    assert asking.sync_state(other).settled
    assert [one.attempts for one in asking.dead_letters()] == [1], "nobody tried it again"


def test_without_a_change_a_parked_text_is_not_asked_about_again(asking: MemoryClient, openai_server: OpenAIServer) -> None:
    poison = {"status": 400, "code": "invalid_value", "again": True}
    openai_server.faults.append(Fault(**poison, when=lambda body: any("poison" in text for text in body.get("input", []))))
    saved = asking.save("It is poison.").id
    asking.sync("embeddings")
    asked = len(openai_server.requests)
    asking.update(saved, metadata={"mood": "odd"})
    asking.sync("embeddings")
    assert len(openai_server.requests) == asked
    asking.update(saved, text="It is well.")
    asking.sync()
    assert asking.sync_state(saved).settled
