"""Which spellings are one name, and which are not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_pipelines.domain.names import name_key


@pytest.mark.parametrize(
    "spellings",
    [
        ("St. Paul’s", "“St. Paul's”", "st paul", "ST.  PAUL\u00a0", "St. Paul`s,"),
        ("O’Brien", "O'Brien", "o´brien", "O'Brien's"),
        ("Mr. Pepys", "Mr Pepys", "(Mr. Pepys)", "MR. PEPYS."),
        ("Straße", "STRASSE", "strasse"),
        ("café", "cafe\u0301", "CAFÉ"),
        ("Jean-Luc", "Jean‑Luc", "Jean–Luc", "Jean\u00ad-Luc"),
        ("Ａcme", "Acme", "*Acme*", "acme…"),
        ("ﬁnance", "Finance"),
        ("Acme Inc", "Acme Inc.", "'Acme Inc.'s"),
    ],
)
def test_one_name(spellings: tuple[str, ...]) -> None:
    assert len({name_key(spelling) for spelling in spellings}) == 1


@pytest.mark.parametrize(
    "names", [("C", "C++", "C#"), ("NET", ".NET"), ("Lord Sandwich", "Lady Sandwich"), ("Queen's College", "Queen College"), ("?", "!")]
)
def test_different_names(names: tuple[str, ...]) -> None:
    assert len({name_key(name) for name in names}) == len(names)


@given(st.one_of(st.text(), st.text("aA's’.\"“ \u0301ß-İ´", max_size=20)))
def test_a_key_is_its_own_key_and_says_something(name: str) -> None:
    key = name_key(name)
    assert name_key(key) == key
    assert "  " not in key
    assert key == key.strip()
    if any(letter.isalnum() for letter in name):
        assert key


@given(st.text("abcß éÉ-").filter(lambda name: any(map(str.isalpha, name))))
def test_case_and_surrounding_marks_do_not_count(name: str) -> None:
    assert name_key(f" “{name.upper()}”, ") == name_key(name)
