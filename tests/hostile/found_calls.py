"""Calls that a server once answered by a fault of its own, or not at all; each with the reason that it must be refused with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

FOUND: Mapping[str, tuple[str, Sequence[str], str]] = {}
"""What it is → method, messages in hexadecimal, reason."""
