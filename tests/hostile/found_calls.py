"""Calls that a server once answered by a fault of its own, not at all, or with a forged line in its log; each with the reason that it must be refused with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

FOUND: Mapping[str, tuple[str, Sequence[str], str]] = {
    "a fingerprint that begins a line of the log": (
        "Upsert",
        ["0a0a66757a7a2d626f756e641a070a0261311201613a03610a62"],
        "MODEL_MISMATCH",
    ),
    "a name of a metadata field that a terminal obeys": (
        "UpdateMetadata",
        ["0a0c66757a7a2d756e626f756e641a021801220a0a0361006212030a016e"],
        "INVALID_ARGUMENT",
    ),
}
"""What it is → method, messages in hexadecimal, reason."""
