"""Cutting a text into passages: the pieces that are embedded and searched.

Lives here: where one passage ends and the next begins. To teach it an abbreviation, add it to `_ABBREVIATIONS`; to
teach it a script, add its full stops to `_BORDER`. Must stay out: I/O, models, anything about a database.

The borders are part of what the record holds: changing them changes the passages of texts that are saved again.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

_CLOSING = "\"'”’»›)\\]}」』】〉》）"

# Possessive, and tried only at the first of several stops, so that a text of nothing but stops takes linear time.
# A sentence ends at Latin stops before white space, at CJK stops anywhere, at an empty line, and before a list item.
_BORDER = re.compile(
    rf"(?<![.!?…])(?P<stop>[.!?…]++)[{_CLOSING}]*+(?=\s)"
    rf"|[。！？｡]++[{_CLOSING}]*+"
    r"|\n(?=[^\S\n]*\n)"
    r"|\n(?=[^\S\n]*(?:[-*•]|\d+[.)])\s)"
)
_CLAUSE = re.compile(rf"[,;:—–][{_CLOSING}]*(?=\s)|[、，；：]")
_SPACE = re.compile(r"\s")
_NOT_SPACE = re.compile(r"\S")

# Words whose full stop does not end a sentence. Too many do little harm: a passage grows by a sentence.
_ABBREVIATIONS_TEXT = """
    mr mrs ms mx messrs mme mlle dr prof st ste sr jr rev hon esq capt cpt col gen lt sgt maj cmdr adm gov sen rep pres jan feb
    mar apr jun jul aug sep sept oct nov dec mon tue tues wed thu thur thurs fri sat sun no nos vol vols ch fig figs p pp ed eds
    cf vs viz al approx ca art sec para ave rd blvd mt ft inc ltd co corp bros hr fr bzw bspw ggf inkl evtl nr str abs sog usw
"""
_ABBREVIATIONS = frozenset(_ABBREVIATIONS_TEXT.split())


def cut(text: str, size: int = 400) -> tuple[str, ...]:
    """Cut `text` into passages of about `size` characters, at sentence borders where there are any.

    Whole sentences are packed up to `size`. A sentence of up to 1.5 × `size` is a passage of its own; a longer one is
    cut behind a clause, else at white space, and inside a word only if that word is longer than `size`. A short rest
    at the end joins its neighbour. No passage is longer than 1.5 × `size`, apart from marks that belong to its last letter.

    Args:
        text: any text; may lack spaces and punctuation.
        size: characters, at least 1.

    Returns:
        The passages in order, each a stripped substring. Together they hold every character that is not white space,
        once. Empty only if `text` is blank.
    """
    spans = list(_spans(text, size))
    if len(spans) > 1 and spans[-1][1] - spans[-1][0] < size // 4 and spans[-1][1] - spans[-2][0] <= size * 3 // 2:
        spans[-2:] = [(spans[-2][0], spans[-1][1])]
    return tuple(text[start:end].strip() for start, end in spans)


def _spans(text: str, size: int) -> Iterator[tuple[int, int]]:
    """Start and end of each passage; the start is never white space."""
    last = len(text.rstrip())
    ends = _sentence_ends(text, last)
    start = _skip_space(text, 0)
    end = start  # of the sentences packed so far
    for sentence_end in ends:
        while True:
            if sentence_end - start <= size:
                end = sentence_end
                break
            if end > start:  # what is packed is full: it goes out, and this sentence begins the next passage
                yield start, end
                start = end = _skip_space(text, end)
                continue
            if sentence_end - start <= size * 3 // 2:
                end = sentence_end
                break
            split = _inside(text, start, start + size)
            yield start, split
            start = end = _skip_space(text, split)
    if end > start:
        yield start, end


def _sentence_ends(text: str, last: int) -> Iterator[int]:
    """Positions behind each sentence; the last one is `last`."""
    for border in _BORDER.finditer(text, 0, last):
        if border["stop"] and not _ends_sentence(text, border):
            continue
        yield border.end()
    if last:
        yield last


def _ends_sentence(text: str, border: re.Match[str]) -> bool:
    """Whether these stops end a sentence: not inside one (a small letter follows) and not behind an abbreviation."""
    following = _NOT_SPACE.search(text, border.end())
    if following is not None and following[0].islower():
        return False
    if border["stop"] != ".":
        return True
    start = border.start()
    words = text[max(0, start - 16) : start].split()
    if not words or (start and text[start - 1].isspace()):
        return True
    word = words[-1].lstrip("\"'“‘«([{")
    if len(word) == 1:
        return not (word.isalpha() and word != "I")
    return not ("." in word or word.lower() in _ABBREVIATIONS)


def _inside(text: str, start: int, limit: int) -> int:
    """Where to cut a sentence that is too long: behind a clause in the second half, at white space, else at `limit`."""
    clauses = [clause.end() for clause in _CLAUSE.finditer(text, (start + limit) // 2, limit)]
    if clauses:
        return clauses[-1]
    if text[limit].isspace():
        return limit
    spaces = [space.start() for space in _SPACE.finditer(text, start, limit)]
    if spaces:
        return spaces[-1]
    while limit < len(text) and (unicodedata.combining(text[limit]) or text[limit] in "\u200d\ufe0f" or text[limit - 1] == "\u200d"):
        limit += 1  # an accent or a joined emoji belongs to the letter before it
    return limit


def _skip_space(text: str, position: int) -> int:
    found = _NOT_SPACE.search(text, position)
    return found.start() if found else len(text)
