"""Calls SQL functions through Supabase's REST API. It only makes calls: what they mean is `store.py`'s business.

The same functions as over a direct connection, with the same results, errors and repeats; see `psycopg_transport.py`. Vectors
go as text in the JSON. HTTP/1.1 on purpose: one connection a call at a time is what a pool shared between
threads needs, and the HTTP/2 library logs headers, the key among them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx
from supabase import create_client
from supabase.lib.client_options import SyncClientOptions
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from memory_pipelines.domain.errors import ConfigurationError, MemoryPipelinesError, Refused, Unavailable
from memory_pipelines.ports import Vectors
from memory_pipelines.stores.postgres import service_key, sqlstates

_ANSWER_SECONDS = 15.0  # hosted projects end a call after 8
_TRIES = 5
_CANCELLED = "57014"  # by a time limit: the same call would be cancelled again
_NO_FUNCTION = frozenset({"PGRST202", "PGRST205"})  # not in the schema cache: function, table
_NO_POSTGRES = frozenset({"PGRST000", "PGRST001", "PGRST002"})  # connecting, or reading the schema, failed
_SQLSTATE = re.compile(r"[0-9A-Z]{5}")
_KEY = re.compile(r"[\x21-\x7e]+")


class RpcTransport:
    """An HTTP client with a pool of connections, opened when first used; safe to share between threads.

    Args:
        url: of the project, `https://….supabase.co`; calls go to `<url>/rest/v1/rpc/…`.
        key: the service key (`sb_secret_…`, or the older token whose role is `service_role`). Shown by nothing.
        connections: most connections at once.
        timeout: seconds to wait for a connection.

    Raises:
        ConfigurationError: `config_invalid` for an address that is none, `wrong_key` for a key that cannot be a service key.
    """

    def __init__(self, url: str, key: str, *, connections: int = 10, timeout: float = 5.0) -> None:
        _check_url(url)
        _check_key(key)
        self._http = httpx.Client(
            timeout=httpx.Timeout(_ANSWER_SECONDS, connect=timeout, pool=timeout),
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=30.0),
            event_hooks={"response": [_only_json]},
        )
        options = SyncClientOptions(httpx_client=self._http, auto_refresh_token=False, persist_session=False)
        self._client = create_client(url.rstrip("/").removesuffix("/rest/v1"), key, options)

    binary = False

    def call(self, function: str, payload: Mapping[str, Any]) -> Any:
        """See `ports.RecordTransport.call`."""
        if self._http.is_closed:
            raise Unavailable("record_unavailable", "This connection was closed; open a new client with MemoryClient.from_env().")
        argument = {"input": json.dumps(payload, ensure_ascii=False, separators=(",", ":"))}
        try:
            for attempt in Retrying(
                retry=retry_if_exception(_transient), stop=stop_after_attempt(_TRIES), wait=wait_random_exponential(0.02, 0.5), reraise=True
            ):
                with attempt:
                    return self._client.rpc(function, argument).execute().data
        except httpx.HTTPStatusError as error:
            raise translate(error.response, function) from None
        except httpx.HTTPError as error:
            raise Unavailable(
                "record_unavailable", f"Supabase did not answer: {type(error).__name__}. Is MEMORY_SUPABASE_URL right, and reachable?"
            ) from None
        raise AssertionError("unreachable: the loop above returns or raises")

    def call_with_vectors(self, function: str, payload: Mapping[str, Any], vectors: Vectors) -> Any:  # noqa: ARG002  # the port's signature
        """Not here: JSON carries no binary, and `binary` says so.

        Raises:
            Refused: `vectors_refused`
        """
        raise Refused("vectors_refused", f"{function} takes vectors as binary, which REST cannot carry: they go as text with the call.")

    def close(self) -> None:
        """Close every connection."""
        self._http.close()


def translate(response: httpx.Response, function: str) -> MemoryPipelinesError:
    """The platform's error for an answer that is none. Only what the server says is kept, never what it was asked."""
    status = response.status_code
    state, text, detail = _said(response)
    if state.startswith("PT"):
        return sqlstates.translate(state, text, detail, function)
    if state in _NO_FUNCTION:
        return sqlstates.translate("42883", text, None, function)
    if status in {401, 403} and not _SQLSTATE.fullmatch(state):
        return ConfigurationError("permission_denied", f"Supabase refused the key: {text}. MEMORY_SUPABASE_KEY is not this project's.")
    if _unsure(status, state):
        return Unavailable("record_unavailable", f"Postgres did not answer: {text}. The call may be made again.", {"status": status})
    if _SQLSTATE.fullmatch(state):
        return sqlstates.translate(state, text, detail, function)
    if status == 404:
        return ConfigurationError("config_invalid", "MEMORY_SUPABASE_URL leads to no Supabase project: there is nothing below rest/v1.")
    return Refused("record_error", f"Supabase refused {function}: {text}.", {"status": status, "sqlstate": state})


def _said(response: httpx.Response) -> tuple[str, str, str | None]:
    """Code, message and details of an error, whoever on the way it comes from."""
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        return "", f"HTTP {response.status_code}", None
    detail, text = body.get("details"), str(body.get("message") or f"HTTP {response.status_code}")
    return str(body.get("code") or ""), text, detail if isinstance(detail, str) else None


def _unsure(status: int, state: str) -> bool:
    """Whether the fault may lie with the server or the way to it. The light server gives its own code to what it does not know."""
    return state in _NO_POSTGRES or status == 429 or (status >= 500 and not _SQLSTATE.fullmatch(state))


def _transient(error: BaseException) -> bool:
    """Whether to make the call again at once. What has been waited for already is not waited for again."""
    if isinstance(error, httpx.HTTPStatusError):
        state, _, _ = _said(error.response)
        return _unsure(error.response.status_code, state) or (sqlstates.is_transient(state) and state != _CANCELLED)
    return isinstance(error, httpx.TransportError) and not isinstance(error, (httpx.TimeoutException, httpx.UnsupportedProtocol))


def _only_json(response: httpx.Response) -> None:
    """Let nothing pass for an answer that is none: an error, a redirect, or the page of something in between.

    Raises:
        httpx.HTTPStatusError: with the response, read.
    """
    if not response.is_success:
        response.read()
        response.raise_for_status()
    if not response.headers.get("content-type", "").startswith("application/json"):
        response.read()
        raise httpx.RemoteProtocolError("the answer is not JSON")


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigurationError("config_invalid", "MEMORY_SUPABASE_URL must be the project's address: https://….")


def _check_key(key: str) -> None:
    """A service key looks like one. The server's answer decides in the end; this names the mistake that is easily made.

    Raises:
        ConfigurationError: `wrong_key`
    """
    fix = "MEMORY_SUPABASE_KEY must be the service key: in the project's settings, under API keys, the secret one."
    if not _KEY.fullmatch(key):
        raise ConfigurationError("wrong_key", f"The key holds characters that no key has, or is empty. {fix}")
    if key.startswith("sb_publishable_"):
        raise ConfigurationError("wrong_key", f"This is the publishable key, which visitors have; it opens nothing here. {fix}")
    role = service_key.role(key)
    if role is not None and role != "service_role":
        raise ConfigurationError("wrong_key", f"This key's role is not service_role; it opens nothing here. {fix}", {"role": role})
