"""The sample that ships: what an assistant noted about two users, Mara and Tomas, from January to October 2026.

Lives here: `assistant.jsonl`, one memory a line as `memory-pipelines import` reads it, and `questions.json`, what the demo asks of
it. Facts change: a later line with the key of an older one replaces it, and a line with `"forget": true` withdraws it, so each
question has an older, wrong answer too. To add a memory, add a line in order of `created_at` (a test holds the file to its rules).
Must stay out: data about real people, and code that imports anything of this package.
"""

from importlib.resources import files

ASSISTANT = files(__name__) / "assistant.jsonl"
"""The memories, JSON Lines in UTF-8: `key`, `namespace`, `thread`, `text`, `created_at`, `metadata`, `entities`, `relations`."""

QUESTIONS = files(__name__) / "questions.json"
"""A list of `{"namespace", "question", "expect_key"}`; the best hit should be the memory with that key, as it stands at the end."""
