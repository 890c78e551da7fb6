"""The gateway of docker-compose.yml: nginx with `deploy/gateway.conf`, in front of Supabase's light server instead of PostgREST."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from pydantic import SecretStr

from memory_pipelines import MemoryClient, Settings
from memory_pipelines.domain.errors import ConfigurationError, Unavailable
from tests import capabilities, compose, engines
from tests.redis_servers import free_port
from tests.supabase_server import Supabase

CONFIGURATION = compose.ROOT / "deploy" / "gateway.conf"


@dataclass(frozen=True)
class Gateway:
    """A running nginx."""

    url: str
    log: Path


@contextmanager
def running(behind: str) -> Iterator[Gateway]:
    """nginx with the file as it is, but for what is a container's own: its port, its neighbour, and where it may write."""
    folder = Path(tempfile.mkdtemp(prefix="memory-gateway-"))
    folder.chmod(0o755)  # nginx's workers are somebody else when we are root
    port, text = free_port(), CONFIGURATION.read_text("utf-8")
    for old, new in {
        "http://postgrest:3000": behind, "listen 8000;": f"listen 127.0.0.1:{port};", " /tmp/": f" {folder}/",
        "/dev/stdout": str(folder / "log"), "/dev/stderr": str(folder / "errors"),
    }.items():  # fmt: skip
        assert old in text
        text = text.replace(old, new)
    (folder / "gateway.conf").write_text(text)
    program, *options = compose.read()["services"]["gateway"]["entrypoint"]
    command = [shutil.which(program, path="/usr/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/bin") or program]
    command += [str(folder / "gateway.conf") if word.startswith("/deploy/") else word for word in options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    found = Gateway(f"http://127.0.0.1:{port}", folder / "log")
    try:
        engines.until(lambda: process.poll() is not None or get(found, "/health")[0] == 200, "the gateway answers", 10)
        assert process.poll() is None, process.communicate()[1].decode()
        yield found
    finally:
        process.send_signal(signal.SIGQUIT)  # the signal of its image
        process.communicate(timeout=20)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def gateway(supabase: Supabase) -> Iterator[Gateway]:
    """A gateway to the record."""
    capabilities.need("nginx")
    with running(f"{supabase.url}/rest/v1") as found:
        yield found


class Mirror(BaseHTTPRequestHandler):
    """Answers with what it was asked."""

    def do_GET(self) -> None:
        answer = json.dumps({"path": self.path, "token": self.headers["authorization"]}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Nothing."""


def get(gateway: Gateway, path: str, **headers: str) -> tuple[int, Any]:
    """Status and decoded answer; 0 when nobody answers."""
    return send(urllib.request.Request(gateway.url + path, headers=headers))


def call(gateway: Gateway, function: str, payload: dict[str, Any], **headers: str) -> tuple[int, Any]:
    """A call of a function."""
    body = json.dumps({"input": json.dumps(payload)}).encode()
    return send(urllib.request.Request(f"{gateway.url}/rest/v1/rpc/{function}", body, {"content-type": "application/json", **headers}))


def send(request: urllib.request.Request) -> tuple[int, Any]:
    """Status and decoded answer; 0 when nobody answers."""
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"null")
    except OSError:
        return 0, None


@pytest.fixture
def through(gateway: Gateway, settings: Settings, supabase: Supabase) -> Iterator[MemoryClient]:
    """A client that has only the gateway's address and the service key, on emptied engines."""
    from memory_pipelines.stores.postgres.migrate import migrate
    from memory_pipelines.wiring import database_url

    engines.empty(settings)
    migrate(database_url(settings))
    changes = {"supabase_url": gateway.url, "supabase_key": SecretStr(supabase.secret_key)}
    with MemoryClient.from_env(settings.model_copy(update=changes)) as client:
        yield client


def test_a_client_needs_only_the_gateway_and_the_service_key(through: MemoryClient) -> None:
    through.save("Mara moved to Porto in June.", namespace="mara", key="home", wait="all")
    assert [hit.key for hit in through.search("where does Mara live?", namespace="mara")] == ["home"]
    assert through.audit(deep=True).clean
    through.forget(key="home", namespace="mara", wait="all")
    assert list(through.search("where does Mara live?", namespace="mara")) == []


def test_large_calls_pass(through: MemoryClient) -> None:
    """Bodies that nginx writes to a file, and answers larger than its buffers."""
    words = "The heron stood at the mill. " * 3000
    saved = through.save_many([{"text": f"{n}: {words}", "namespace": "large"} for n in range(20)])
    assert len(saved) == 20
    assert through.get(saved[0].id).text == f"0: {words}"


def test_the_path_is_mapped_and_an_apikey_alone_is_taken_as_the_token() -> None:
    capabilities.need("nginx")
    with ThreadingHTTPServer(("127.0.0.1", 0), Mirror) as server, running(f"http://127.0.0.1:{server.server_port}") as gateway:
        Thread(target=server.serve_forever, daemon=True).start()
        path = "/rest/v1/rpc/memory_health_v1?a=b%20c&d=e"
        mapped = path.removeprefix("/rest/v1")
        assert get(gateway, path) == (200, {"path": mapped, "token": None})
        assert get(gateway, path, apikey="one") == (200, {"path": mapped, "token": "Bearer one"})
        assert get(gateway, path, apikey="one", authorization="Bearer two") == (200, {"path": mapped, "token": "Bearer two"})
        server.shutdown()


def test_visitors_keys_open_nothing(gateway: Gateway, settings: Settings, supabase: Supabase) -> None:
    changes = {"supabase_url": gateway.url, "supabase_key": SecretStr(supabase.publishable_key)}
    with pytest.raises(ConfigurationError), MemoryClient.from_env(settings.model_copy(update=changes)) as client:
        client.save("Nobody may.")
    assert call(gateway, "memory_health_v1", {}, apikey=supabase.publishable_key)[0] in {401, 403, 404}
    assert call(gateway, "memory_health_v1", {})[0] in {401, 403, 404}


def test_there_is_nothing_else(gateway: Gateway) -> None:
    for path in ("/", "/auth/v1/signup", "/rest/v2/rpc/memory_health_v1", "/rest/v1/../../etc/passwd"):
        assert get(gateway, path)[0] in {400, 404}, path


def test_neither_keys_nor_memories_are_logged(gateway: Gateway, supabase: Supabase, through: MemoryClient) -> None:
    through.save("A heron at the mill.", namespace="quiet")
    get(gateway, f"/rest/v1/anything?apikey={supabase.secret_key}", apikey=supabase.secret_key)
    engines.until(lambda: "/rest/v1/anything" in gateway.log.read_text(), "the call is logged")
    written = gateway.log.read_text() + (gateway.log.parent / "errors").read_text()
    assert supabase.secret_key not in written
    assert "heron" not in written


def test_an_outage_behind_it_is_an_outage(settings: Settings, supabase: Supabase) -> None:
    """What answers in PostgREST's place then is a page of nginx: no result, and not a refusal either."""
    capabilities.need("nginx")
    with running(f"http://127.0.0.1:{free_port()}") as gateway:
        changes = {"supabase_url": gateway.url, "supabase_key": SecretStr(supabase.secret_key)}
        with pytest.raises(Unavailable) as error, MemoryClient.from_env(settings.model_copy(update=changes)) as client:
            client.save("Nobody hears.")
    assert error.value.code == "record_unavailable"
