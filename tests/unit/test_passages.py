"""Passages cover the text, stay within their size, and end where sentences end."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_pipelines.domain.passages import cut
from tests import capabilities

PROSE = st.lists(
    st.sampled_from(
        [
            "Mr. Pepys ",
            "went. ",
            "“Stop!” he said. ",
            "word ",
            "I… ",
            "\n\n",
            "- item\n",
            "猫は眠る。",
            "clause, ",
            "x" * 90,
            "é",
            "\u0301",
            "?! ",
        ]
    ),
    max_size=60,
).map("".join)


def squeezed(text: str) -> str:
    return "".join(text.split())


@given(text=st.one_of(st.text(), PROSE), size=st.integers(1, 120))
def test_passages_are_stripped_substrings_that_cover_the_text_in_order(text: str, size: int) -> None:
    passages = cut(text, size)
    assert squeezed("".join(passages)) == squeezed(text)
    at = 0
    for passage in passages:
        assert passage
        assert passage == passage.strip()
        at = text.index(passage, at) + len(passage)
    assert bool(passages) == bool(text.strip())


@given(text=st.text(st.characters(categories=["Ll", "Lu", "Po", "Zs", "Lo"])), size=st.integers(1, 80))
def test_no_passage_is_much_longer_than_its_size(text: str, size: int) -> None:
    assert all(len(passage) <= size * 3 // 2 for passage in cut(text, size))


@given(words=st.lists(st.text("abc,.;é", min_size=1, max_size=20), min_size=1), size=st.integers(20, 60))
def test_words_that_fit_stay_whole(words: list[str], size: int) -> None:
    pieces = [word for passage in cut(" ".join(words), size) for word in passage.split()]
    assert pieces == words


@pytest.mark.parametrize(
    "sentence",
    [
        "Mr. Pepys met Dr. Clarke at St. Paul’s.",
        "On Jan. 1st he paid No. 5 to Sir W. Batten.",
        "“Stop!” he said.",
        "He said “Mrs. Turner is here.”",
        "The U.S. Army came at 5 p.m. and left.",
        "My wife … gave me hopes.",
        "Is it e.g. Version 3.2 or z.B. 4?",
        "Das hat Hr. Müller gesagt.",
    ],
)
def test_what_does_not_end_a_sentence(sentence: str) -> None:
    assert cut(f"{sentence} {sentence}", len(sentence)) == (sentence, sentence)


@pytest.mark.parametrize(
    ("text", "passages"),
    [
        ("One two. Three four! Five six? Seven…", ("One two.", "Three four!", "Five six?", "Seven…")),
        ("It was I. Then we left.", ("It was I.", "Then we left.")),
        ("“One two.” “Three four.”", ("“One two.”", "“Three four.”")),
        ("猫は眠る。犬は走る！鳥は？", ("猫は眠る。", "犬は走る！", "鳥は？")),
        ("「猫は眠る。」犬は走る。", ("「猫は眠る。」", "犬は走る。")),
        ("A heading\n\nA paragraph", ("A heading", "A paragraph")),
        ("To buy:\n- the milk\n- the bread", ("To buy:", "- the milk", "- the bread")),
    ],
)
def test_what_ends_one(text: str, passages: tuple[str, ...]) -> None:
    assert cut(text, max(map(len, passages))) == passages


def test_sentences_are_packed_up_to_the_size() -> None:
    assert cut("One two. Three four. Five six. Seven eight.", 20) == ("One two. Three four.", "Five six.", "Seven eight.")


def test_a_long_sentence_is_cut_behind_a_clause_else_at_space_else_anywhere() -> None:
    assert cut("aaaa bbbb cccc, dddd eeee ffff gggg", 20) == ("aaaa bbbb cccc,", "dddd eeee ffff gggg")
    assert cut("aaaa bbbb cccc dddd eeee ffff gggg", 20) == ("aaaa bbbb cccc dddd", "eeee ffff gggg")
    assert cut("x" * 70, 20) == ("x" * 20, "x" * 20, "x" * 30)


def test_an_accent_stays_with_its_letter() -> None:
    assert all(not passage.startswith("\u0301") for passage in cut("e\u0301" * 100, 21))


def test_a_short_rest_joins_its_neighbour() -> None:
    assert cut("This is a sentence of some length. So to bed.", 44) == ("This is a sentence of some length. So to bed.",)


@pytest.mark.parametrize("piece", [".", ". ", '."', "\n", "a", "a b ", "a. ", "…)", " ", "\n \t"])
def test_time_is_linear_in_odd_texts(piece: str) -> None:
    def seconds(text: str) -> float:
        return min(_timed(text) for _ in range(3))

    small, large = piece * (10_000 // len(piece)), piece * (160_000 // len(piece))
    assert seconds(large) < 80 * seconds(small) + 0.05  # 16 times the text; a quadratic cut would take 256 times as long


def _timed(text: str) -> float:
    begun = time.perf_counter()
    cut(text)
    return time.perf_counter() - begun


def test_a_diary_of_ten_years() -> None:
    capabilities.need("pepys")
    lengths: list[int] = []
    for line in capabilities.PEPYS.read_text(encoding="utf-8").splitlines():
        text = json.loads(line)["text"]
        passages = cut(text)
        assert squeezed("".join(passages)) == squeezed(text)
        assert not [passage for passage in passages if passage.endswith((" Mr.", " Sir W.", " St.", " Dr."))]
        lengths += map(len, passages)
    assert max(lengths) <= 600
    assert 250 < sum(lengths) / len(lengths) < 400
