"""A child that is asked to end, however often and whenever: whoever waits for it never waits for ever."""

from __future__ import annotations

import subprocess
import sys

# Two processes send signals by the thousand, so that one comes while another is being heeded: make and a shell both pass a Ctrl-C on.
ASKED_OFTEN = """
import os, subprocess, sys
from memory_pipelines.entrypoints.cli.supervised import Supervised

child = Supervised(["sleep", "600"], os.environ, None)
send = "import os, signal; [os.kill({}, kind) for _ in range(30000) for kind in (signal.{}, signal.SIGTERM)]"
senders = [subprocess.Popen([sys.executable, "-c", send.format(os.getpid(), kind)]) for kind in ("SIGINT", "SIGHUP")]
while any(sender.poll() is None for sender in senders):
    child.pause(0.001)
    RESET
child.stop()
print("ended" if not child.running else "lives")
"""


def test_signals_that_come_together_are_heeded() -> None:
    script = ASKED_OFTEN.replace("RESET", "child._asked = False")
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (ran.stdout.strip(), ran.stderr) == ("ended", "")
