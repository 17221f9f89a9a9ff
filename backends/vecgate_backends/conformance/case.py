"""What a backend under test declares about itself: how to open it, and what it is known not to do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from vecgate_backends.contract import Backend
from vecgate_backends.records import IndexConfig


class GapKind(StrEnum):
    """Why a backend fails a test.

    NOTIMPL: the vendor can, this module does not. NOTYET: the vendor cannot today. NEVER: it does not fit the vendor at all.
    """

    NOTIMPL = "notimpl"
    NOTYET = "notyet"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Gap:
    """A test that a backend is known to fail; passing it unannounced is a failure too."""

    kind: GapKind
    reason: str


async def settled_at_once(backend: Any) -> None:
    """Wait for nothing: the settle hook of a backend that does no work in the background."""
    del backend


@dataclass(frozen=True, slots=True)
class Case:
    """One variant of one backend.

    Attributes:
        id: its name in test ids.
        build: makes a backend that is not started yet, keeping its files in the directory; two that are built on one
            directory, one after the other, are the same store.
        reopenable: what it stored is there after close() and another build(); must equal Capabilities.durable.
        index: what collections are created with.
        settle: waits until the background work queued so far is done, so that tests also see the state after it.
        gaps: "TestClass.test_name" → the gap.
        examples: how many random cases a property test tries.
        steps: how many operations a random history has at most.
        emulated: it runs against a stand-in of the vendor's engine; results say so.
    """

    id: str
    build: Callable[[Path], Backend]
    reopenable: bool = True
    index: IndexConfig | None = None
    settle: Callable[[Any], Awaitable[None]] = settled_at_once
    gaps: Mapping[str, Gap] = field(default_factory=dict)
    examples: int = 20
    steps: int = 12
    emulated: bool = False

    @property
    def title(self) -> str:
        """Its id, and that it is emulated if it is: how results name it."""
        return f"{self.id} (emulated)" if self.emulated and "emulated" not in self.id else self.id
