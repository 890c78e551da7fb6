"""Supabase's light server (`@supabase/lite`) on the embedded Postgres: REST with keys, roles and tokens, as a project has them.

`installed` brings the packages that `tests/supabase/package-lock.json` names into `.cache`; `running` starts the server on a free
loopback port. It reads which functions there are when it starts, so the schema must be there before. Must stay out: fixtures.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import secrets
import shutil
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from urllib.parse import parse_qs, urlsplit

from filelock import FileLock

from tests import engines
from tests.redis_servers import free_port

PACKAGES = Path(__file__).parent / "supabase"
CACHE = Path(__file__).parents[1] / ".cache" / "supabase"
_CONFIG = """[api]
port = {port}

[db]
driver = "postgres"
url = "postgres:///memory"

[auth]
enabled = true
jwt_secret = "{jwt_secret}"
jwt_expiry = 3600
publishable_key = "env(SUPABASE_PUBLISHABLE_KEY)"
secret_key = "env(SUPABASE_SECRET_KEY)"
"""


@dataclass(frozen=True)
class Supabase:
    """A running server: where it is, and what opens it."""

    url: str
    secret_key: str = field(repr=False)
    publishable_key: str = field(repr=False)
    jwt_secret: str = field(repr=False)
    database_url: str = field(repr=False)

    def token(self, **claims: Any) -> str:
        """An end user's token as the project's Auth would sign it (HS256, RFC 7519); `claims` beside the usual ones."""
        usual = {"role": "authenticated", "aud": "authenticated", "sub": secrets.token_hex(16), "exp": int(time.time()) + 3600}
        parts = [_url64(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, usual | claims)]
        signature = hmac.new(self.jwt_secret.encode(), ".".join(parts).encode(), hashlib.sha256).digest()
        return ".".join([*parts, _url64(signature)])

    def post(self, path: str, body: Any, *, key: str, token: str | None = None) -> tuple[int, Any]:
        """A bare call below `rest/v1`: status and decoded answer."""
        headers = {"apikey": key, "content-type": "application/json"} | ({"authorization": f"Bearer {token}"} if token else {})
        asked = urllib.request.Request(f"{self.url}/rest/v1/{path}", json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(asked, timeout=20) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"null")


def installed() -> Path:
    """The folder with the packages, installed when the lock has changed since.

    Raises:
        RuntimeError: npm could not install them; its own words are in the message.
    """
    wanted = hashlib.sha256((PACKAGES / "package-lock.json").read_bytes()).hexdigest()
    stamp = CACHE / "installed"
    CACHE.mkdir(parents=True, exist_ok=True)
    with FileLock(str(CACHE) + ".lock"):
        if not stamp.exists() or stamp.read_text() != wanted:
            for name in ("package.json", "package-lock.json", ".npmrc"):
                shutil.copyfile(PACKAGES / name, CACHE / name)
            command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
            done = subprocess.run(command, cwd=CACHE, capture_output=True, text=True, timeout=160, check=False)
            if done.returncode != 0:
                raise RuntimeError(f"npm ci failed: {(done.stderr or done.stdout).strip()[-2000:]}")
            stamp.write_text(wanted)
    return CACHE


@contextmanager
def running(database_url: str) -> Iterator[Supabase]:
    """The server for an embedded Postgres whose schema is already there, until the block ends."""
    program = installed() / "node_modules" / "@supabase" / "lite" / "dist" / "cli" / "index.js"
    folder = Path(tempfile.mkdtemp(prefix="memory-supabase-"))
    (folder / "supabase").mkdir()
    found = Supabase(
        url=f"http://127.0.0.1:{free_port()}",
        secret_key=f"sb_secret_{secrets.token_urlsafe(24)}",
        publishable_key=f"sb_publishable_{secrets.token_urlsafe(24)}",
        jwt_secret=secrets.token_urlsafe(48),
        database_url=database_url,
    )
    (folder / "supabase" / "config.toml").write_text(_CONFIG.format(port=urlsplit(found.url).port, jwt_secret=found.jwt_secret))
    (folder / ".env").write_text(f"SUPABASE_PUBLISHABLE_KEY={found.publishable_key}\nSUPABASE_SECRET_KEY={found.secret_key}\n")
    socket_folder = parse_qs(urlsplit(database_url).query)["host"][0]
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "PGHOST": socket_folder, "PGUSER": "postgres", "PGDATABASE": "memory"}
    command = ["node", str(program), "--no-telemetry", "start", "--no-admin"]
    with (folder / "log").open("w") as log, _supervised(command, cwd=folder, env=environment, log=log) as ended:
        try:
            engines.until(lambda: ended() or _answers(found), f"the light server answers; see {folder}/log", 30)
            if ended():
                raise RuntimeError(f"The light server ended: {(folder / 'log').read_text()[-2000:]}")
            yield found
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _supervised(command: list[str], *, cwd: Path, env: dict[str, str], log: IO[str]) -> Iterator[Callable[[], bool]]:
    """Run a server, and start it again when it ends, as whoever runs one does: its Postgres library may die of a connection that was
    cut in the middle of a write. Gives whether it has ended within a second of its start, for good."""
    stop = threading.Event()
    hopeless = threading.Event()
    processes: list[subprocess.Popen[bytes]] = []

    def keep() -> None:
        while not stop.is_set():
            started = time.monotonic()
            processes.append(subprocess.Popen(command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log))
            processes[-1].wait()
            if time.monotonic() - started < 1:
                hopeless.set()
                return

    keeper = threading.Thread(target=keep, daemon=True)
    keeper.start()
    try:
        yield hopeless.is_set
    finally:
        stop.set()
        for process in processes[-1:]:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
        keeper.join(10)


def _answers(server: Supabase) -> bool:
    try:
        status, _ = server.post("rpc/memory_health_v1", {"input": "{}"}, key=server.secret_key)
    except OSError:
        return False
    return status == 200


def _url64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
