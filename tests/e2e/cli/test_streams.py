"""Standard streams as shells leave them: full, closed, read by somebody who goes, ended by a signal. Sentences, never tracebacks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.command import COMMAND, Cli, environment, space

Shell = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def shell(home: Path, cli: Cli) -> Shell:
    """Runs a line of a shell in which `m` is the command; there is one memory in `streams`."""
    assert cli("save", "Mara lives in Porto.", "-n", "streams", "-k", "home").code == 0
    alias = " ".join(f"'{part}'" for part in COMMAND)

    def run(line: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
        script = f'm() {{ {alias} "$@"; }}; set -o pipefail; {line}'
        return subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=environment(home), cwd=folder, timeout=150)

    return run


FULL = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")


@FULL
@pytest.mark.parametrize("command", ["list -n streams", "list -n streams --json", "--version", "--help", "export - -n streams"])
def test_a_full_disk_is_told(shell: Shell, command: str) -> None:
    ran = shell(f"m {command} > /dev/full")
    assert (ran.returncode, ran.stderr.count("\n")) == (1, 1), ran.stderr
    assert ran.stderr.startswith("Error output_unwritable: Standard output cannot be written: No space left on device.")


@pytest.mark.parametrize("command", ["list -n streams", "list -n streams --json", "export - -n streams"])
def test_a_closed_output_is_told(shell: Shell, command: str) -> None:
    ran = shell(f"m {command} >&-")
    assert (ran.returncode, ran.stderr.count("\n")) == (1, 1), ran.stderr
    assert "output_unwritable" in ran.stderr


def test_what_was_done_stays_done_where_it_could_not_be_printed(shell: Shell, cli: Cli) -> None:
    name = space()
    assert shell(f'm save "Olga sings." -n {name} >&-').returncode == 1
    assert [item["text"] for item in cli("list", "-n", name, "--json").json["memories"]] == ["Olga sings."]


def test_a_closed_input_is_told(shell: Shell) -> None:
    saved = shell("m save - -n streams --json <&-")
    assert (saved.returncode, json.loads(saved.stdout)["error"]["code"]) == (2, "usage")
    imported = shell("m import - -n streams --json <&-")
    assert (imported.returncode, json.loads(imported.stdout)["error"]["code"]) == (1, "file_unreadable")


def test_a_reader_that_goes_is_no_failure(shell: Shell) -> None:
    for command in ("list -n streams", "list -n streams --json", "--help"):
        ran = shell(f"m {command} | true")
        assert ran.stderr == "", ran.stderr


def test_a_folder_that_is_gone_is_told(shell: Shell) -> None:
    gone = 'gone=$(mktemp -d) && cd "$gone" && rmdir "$gone" && '
    assert shell(f"{gone} m list -n streams --json").returncode == 0  # its home stands elsewhere
    ran = shell(f"{gone} unset MEMORY_HOME; m list -n streams --json")
    assert (ran.returncode, json.loads(ran.stdout)["error"]["code"]) == (1, "config_invalid"), ran.stderr


@pytest.mark.parametrize(
    ("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=lambda value: getattr(value, "name", "")
)
@pytest.mark.parametrize("as_document", [False, True], ids=["words", "json"])
def test_a_signal_in_the_middle_ends_it_in_words(home: Path, sent: signal.Signals, code: int, as_document: bool, tmp_path: Path) -> None:
    # It reads standard input: opened by it once the fifo is, which is when it is in its middle.
    fifo = tmp_path / "lines"
    os.mkfifo(fifo)
    command = [*COMMAND, "import", str(fifo), "--format", "jsonl", "-n", "streams", *(["--json"] if as_document else [])]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(home),
        preexec_fn=lambda: signal.signal(sent, signal.SIG_DFL),  # whoever runs the tests, under nohup perhaps, may ignore it
    )  # fmt: skip
    with open(fifo, "w"):  # returns when the command has opened its end
        process.send_signal(sent)
        out, err = process.communicate(timeout=100)
    assert process.returncode == code, err
    assert "Traceback" not in err
    if sent is signal.SIGINT and as_document:
        assert json.loads(out)["error"]["code"] == "interrupted"
    elif sent is signal.SIGINT:
        assert err.startswith("Interrupted. What was acknowledged is in the record")
