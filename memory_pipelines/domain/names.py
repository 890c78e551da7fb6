"""When two spellings name the same entity, or the same predicate.

Lives here: the key under which names are compared. Keys are stored, so a change here needs a migration that computes
them again. Must stay out: guessing (nicknames, translations), which belongs to extractors.
"""

from __future__ import annotations

import re
import unicodedata

# Before NFKC, which would turn a lone acute accent into a space and a combining mark.
_UNIFIED = str.maketrans(
    dict.fromkeys("‘’‛ʼʹ′`´＇", "'")
    | dict.fromkeys("“”„‟«»″＂", '"')
    | dict.fromkeys("‐‑‒–—―−", "-")
    | dict.fromkeys("\u00ad\u200b\u200e\u200f\u2060\ufeff")  # invisible: soft hyphen, zero-width space, marks
)
_SPACES = re.compile(r"\s+")
_JOINTS = re.compile(r"[\s_-]+")
_STOP_INSIDE = re.compile(r"\.(?= )")  # "Mr. Pepys" and "Mr Pepys"
_POSSESSIVE = re.compile(r"'s$")
# Not every punctuation: "C", "C#" and "C++" differ, and so do "NET" and ".NET".
_LEADING = " \"'()[]{}<>,;:!?¡¿…*_~|-"
_TRAILING = _LEADING + "."


def name_key(name: str) -> str:
    """The form of `name` under which spellings count as one entity.

    NFKC, case folded, white space collapsed, typographic quotes and dashes unified, surrounding punctuation and a final
    possessive 's left out: `“St. Paul’s”` and `st paul` have one key. Applying it to a key gives the key again.

    Returns:
        The key; empty only for a blank name. A name of nothing but punctuation is its own key.
    """
    key = name
    for _ in range(8):  # one step may uncover work for another; real names need one or two rounds
        before = key
        key = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", key.translate(_UNIFIED)).casefold())
        key = _SPACES.sub(" ", key.translate(_UNIFIED)).strip()
        key = _STOP_INSIDE.sub("", key)
        key = _POSSESSIVE.sub("", key.lstrip(_LEADING).rstrip(_TRAILING)).strip() or key
        if key == before:
            break
    return key


def predicate_key(predicate: str) -> str:
    """The one spelling of a predicate: `lives in`, `Lives-in` and `lives_in` are `lives_in`. Applying it to one gives it again.

    Returns:
        The key; what is nothing but white space and joints stays as it is.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", predicate.translate(_UNIFIED)).lower())
    return _JOINTS.sub("_", folded).strip("_") or predicate
