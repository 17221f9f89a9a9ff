"""The backends that come with vecgate, under the suite that it ships."""

from __future__ import annotations

from pathlib import Path

from vecgate_backends.conformance import *  # noqa: F403  # the tests are adopted whole
from vecgate_backends.conformance import Case
from vecgate_backends.contract import Backend
from vecgate_backends.memory import MemoryBackend, MemoryOptions


def memory(directory: Path) -> Backend:
    del directory  # it keeps no files
    return MemoryBackend(MemoryOptions())


CASES = [Case("memory", memory, reopenable=False)]
