"""Cursors of pages: a position as opaque text, made from strings and read back.

Must stay out: what a position means; whoever pages says so, and checks what comes back.
"""

from __future__ import annotations

import base64
import json
from typing import Any


def written(*position: str) -> str:
    """The cursor of a position."""
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode()


def read(cursor: str) -> Any:
    """What `written` was given, as a list; of a text that is no cursor of ours, anything.

    Raises:
        AttributeError, ValueError: it is no cursor at all.
    """
    return json.loads(base64.urlsafe_b64decode(cursor.encode()))
