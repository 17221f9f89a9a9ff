"""A command line on a terminal, and somebody who reads its bar."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

COLUMNS = 200
PROGRESS = re.compile(r"(\d+)/(\d+)(?=[^\d/])")
"""Done and total, as the bar shows them."""


@dataclass(frozen=True)
class Watched:
    """What a command line left behind: status, stdout, everything the terminal showed."""

    status: int
    out: str
    shown: str


def run_watched(
    arguments: Sequence[str], on_bar: Callable[[int, int], None], *, environment: dict[str, str]
) -> Watched:
    """Run a command with a terminal as stderr, and tell each new state of its bar: done, total.

    `on_bar` is called while the command goes on; what it shows meanwhile waits in the terminal.
    """
    terminal, its_end = pty.openpty()
    fcntl.ioctl(its_end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    variables = os.environ | {"TERM": "xterm"} | environment
    shown = ""
    last: tuple[int, int] | None = None
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=its_end, text=True, env=variables) as process:
        os.close(its_end)
        try:
            # The end of the terminal is an error when the command is gone.
            with suppress(OSError):
                while data := os.read(terminal, 65_536):
                    shown += data.decode(errors="replace")
                    if select.select([terminal], [], [], 0)[0]:
                        continue  # what is shown now comes last
                    states = PROGRESS.findall(shown[-4_096:])
                    if states and (state := (int(states[-1][0]), int(states[-1][1]))) != last:
                        last = state
                        on_bar(*state)
            out, _ = process.communicate(timeout=60)
        finally:
            os.close(terminal)
            process.kill()
    return Watched(process.returncode, out, shown)
