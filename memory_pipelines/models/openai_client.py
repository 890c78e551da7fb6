"""What the OpenAI embedder and extractor share: how a client is opened, and what its failures mean here.

Lives here: settings into a client, `openai` exceptions into our errors. Must stay out: prompts, batches, parsing.

No message of ours repeats what the server said: servers quote keys and texts. Its short error code is kept.
"""

from __future__ import annotations

import json
from typing import Literal

import openai

from memory_pipelines.config import Settings
from memory_pipelines.domain.errors import ConfigurationError, MemoryPipelinesError, Unavailable

_OPENAI_URL = "https://api.openai.com/v1"
_SECONDS = 60.0  # for one attempt; the package's own limit of ten minutes would hold up a whole drain
_RETRIES = 3  # of 408, 409, 429 (waiting for Retry-After), 5xx and lost connections, with backoff; the package does them

# What a call may raise: `ValueError` is a body that is not JSON.
FAILURES = (openai.OpenAIError, ValueError)


def open_client(settings: Settings, *, seconds: float = _SECONDS, retries: int = _RETRIES) -> openai.OpenAI:
    """A client for `settings.openai_base_url`, or for OpenAI itself. Connects to nothing yet.

    Args:
        settings: a compatible server of one's own may need no key; OpenAI does.
        seconds: limit of one attempt.
        retries: further attempts after a transient failure.

    Raises:
        ConfigurationError: `openai_key_missing`.
    """
    key = settings.openai_api_key.get_secret_value().strip() if settings.openai_api_key else ""
    if not key and not settings.openai_base_url:
        raise ConfigurationError("openai_key_missing", "OPENAI_API_KEY is empty; set it, or OPENAI_BASE_URL for a server without keys.")
    return openai.OpenAI(api_key=key or "none", base_url=settings.openai_base_url or _OPENAI_URL, timeout=seconds, max_retries=retries)


def is_refusal(error: Exception) -> bool:
    """Whether the server refused what it was given (400, 413, 422): the input's fault, not an outage."""
    return isinstance(error, openai.APIStatusError) and error.status_code in (400, 413, 422)


def short_code(error: Exception) -> str:
    """The server's own name of the failure, e.g. `context_length_exceeded`, or the status; never a sentence."""
    code = getattr(error, "code", None) or getattr(error, "type", None)
    if isinstance(code, str) and len(code) <= 60 and code.replace("_", "").isalpha():
        return code
    return f"status {getattr(error, 'status_code', 'unknown')}"


def failure(error: Exception, user: Literal["embedder", "extractor"]) -> MemoryPipelinesError:
    """Our error for a failed call of `user`.

    Returns:
        `Unavailable` (`embedder_unavailable`, `extractor_unavailable`) for what may pass by itself, else a
        `ConfigurationError` (`openai_unauthorised`, `openai_rejected`) for what someone has to set right.
    """
    if isinstance(error, openai.APIStatusError):
        status, detail = error.status_code, {"status": error.status_code, "reason": short_code(error)}
        if status in (401, 403):
            return ConfigurationError(
                "openai_unauthorised", f"The {user}'s server refused the key ({status}); check OPENAI_API_KEY.", detail
            )
        if short_code(error) == "insufficient_quota":
            return Unavailable(f"{user}_unavailable", f"The {user}'s account has no quota left; add credit, then it goes on.", detail)
        if status in (408, 409, 425, 429) or status >= 500:
            return Unavailable(f"{user}_unavailable", f"The {user}'s server answered {status} to every attempt; try again later.", detail)
        return ConfigurationError(
            "openai_rejected",
            f"The {user}'s server rejects the request itself ({short_code(error)}); check model and OPENAI_BASE_URL.",
            detail,
        )
    if isinstance(error, openai.APITimeoutError):
        return Unavailable(f"{user}_unavailable", f"The {user}'s server did not answer in time; try again later.")
    if isinstance(error, openai.APIConnectionError):
        return Unavailable(f"{user}_unavailable", f"The {user}'s server cannot be reached; check OPENAI_BASE_URL and the network.")
    if isinstance(error, (json.JSONDecodeError, openai.APIResponseValidationError, ValueError)):
        return Unavailable(f"{user}_unavailable", f"The {user}'s server sent an answer that cannot be read; try again later.")
    return Unavailable(f"{user}_unavailable", f"The call to the {user} failed ({type(error).__name__}); try again later.")
