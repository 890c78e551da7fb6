"""A real HTTP server that speaks OpenAI's wire format, with faults to order.

Lives here: `/v1/embeddings` and `/v1/chat/completions`, so that tests drive the real `openai` package over a real socket.
To add a fault, add a field to `Fault`. Must stay out: anything that the product itself would need.

    with OpenAIServer() as server:
        server.faults.append(Fault(status=429, headers={"Retry-After": "0.01"}))
        ...
        assert server.requests[0].body["model"] == "text-embedding-3-small"

Other test modules get it as a fixture: `from tests.openai_server import openai_server  # noqa: F401`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import struct
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from typing import Any

import pytest

NATIVE_DIMENSIONS = 1536
KEY = "sk-test-do-not-leak-7f3a"


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request. Without any field set, the request is answered as usual.

    Attributes:
        status: answer with this status; `code` and `param` go into the error's body, with a message that quotes the key.
        hang: never answer; the connection is let go when the server stops.
        cut: send only the first half of the body, as if it were whole.
        change: is given the answer that would be sent, and returns what is sent instead.
        when: the fault waits for a request of which this is true (default: any), letting others pass.
        again: the fault stays, instead of hitting one request.
    """

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    code: str | None = None
    param: str | None = None
    hang: bool = False
    cut: bool = False
    change: Callable[[dict[str, Any]], Any] | None = None
    when: Callable[[dict[str, Any]], bool] = lambda _: True
    again: bool = False


@dataclass(frozen=True)
class Request:
    path: str
    authorization: str
    body: dict[str, Any]


def capitalised(text: str) -> dict[str, Any]:
    """The usual answer about a text: every capitalised word is a thing."""
    names = dict.fromkeys(re.findall(r"\b[A-Z]\w+", text))
    return {"entities": [{"name": name, "type": "thing"} for name in names], "relations": []}


class OpenAIServer:
    """A server on a free port of 127.0.0.1, running while the `with` lasts.

    Attributes:
        url: what `OPENAI_BASE_URL` would be.
        faults: ordered faults, the first that fits is taken.
        requests: what was asked, in order of arrival.
        extract: text to answer; an answer that is a string is sent as the message's content as it is.
    """

    def __init__(self) -> None:
        self.faults: deque[Fault] = deque()
        self.requests: list[Request] = []
        self.extract: Callable[[str], dict[str, Any] | str] = capitalised
        self._lock = Lock()
        self.stopping = Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    def __enter__(self) -> OpenAIServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def take(self, request: Request) -> Fault:
        """Note a request and take the fault that is meant for it."""
        with self._lock:
            self.requests.append(request)
            for fault in self.faults:
                if fault.when(request.body):
                    if not fault.again:
                        self.faults.remove(fault)
                    return fault
        return Fault()


@pytest.fixture
def openai_server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        yield server


def vector(text: str, dimensions: int) -> list[float]:
    """A unit vector that depends on the text alone."""
    raw = hashlib.shake_256(text.encode()).digest(2 * dimensions)
    numbers = [value / 32768 for value in struct.unpack(f"<{dimensions}h", raw)]
    length = math.sqrt(sum(number * number for number in numbers))
    return [number / length for number in numbers]


def _embeddings(body: dict[str, Any]) -> dict[str, Any]:
    texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
    data = []
    for index, text in enumerate(texts):
        numbers: Any = vector(text, body.get("dimensions", NATIVE_DIMENSIONS))
        if body.get("encoding_format") == "base64":
            numbers = base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()
        data.append({"object": "embedding", "index": index, "embedding": numbers})
    tokens = sum(len(text.split()) for text in texts)
    return {"object": "list", "model": body["model"], "data": data, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}


def _completion(body: dict[str, Any], extract: Callable[[str], dict[str, Any] | str]) -> dict[str, Any]:
    text = json.loads(body["messages"][-1]["content"])["text"]
    answer = extract(text)
    content = answer if isinstance(answer, str) else json.dumps(answer)
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": body["model"],
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content, "refusal": None}}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }


def _handler(server: OpenAIServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            fault = server.take(Request(self.path, self.headers.get("Authorization", ""), body))
            if fault.hang:
                server.stopping.wait(60)
                self.close_connection = True
                return
            if fault.status is not None:
                message = f"Fault {fault.status} for {self.headers.get('Authorization')}: {json.dumps(body)[:200]}"
                error = {"message": message, "type": "fault", "code": fault.code, "param": fault.param}
                self._send(fault.status, json.dumps({"error": error}).encode(), fault.headers)
                return
            if self.path == "/v1/embeddings":
                answer: Any = _embeddings(body)
            elif self.path == "/v1/chat/completions":
                answer = _completion(body, server.extract)
            else:
                self._send(404, b'{"error": {"message": "no such path"}}', {})
                return
            if fault.change is not None:
                answer = fault.change(answer)
            sent = json.dumps(answer).encode()
            self._send(200, sent[: len(sent) // 2] if fault.cut else sent, fault.headers)

        def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name for it
            """Requests are in `requests`; stderr stays quiet."""

    return Handler
