"""Numbers in Qdrant's payloads, kept and compared exactly.

Qdrant keeps a payload as JSON text and reads doubles back with an error of up to one unit in the last place (about one in ten
of random doubles), and its ranges compare as doubles, which cannot tell 2**53 from 2**53 + 1. Numbers that survive both are stored
as they are. The others are stored as text, and beside it as a key of 75 bits whose order is that of the numbers.
"""

from __future__ import annotations

import math
import struct

_MANTISSA = 2**53
_RESIDUE_BITS = 11
_LOW_BITS = 38
_SIGN = 1 << 63
_ALL = (1 << 64) - 1


def survives(value: float) -> bool:
    """Whether a number comes back from JSON text bit for bit, and compares as a double as it should.

    A reader that multiplies the digits by a power of ten is exact while both are exact doubles: digits below 2**53, and a
    power up to 10**22, which a text without an exponent never passes.
    """
    if isinstance(value, int):
        return abs(value) <= _MANTISSA
    text = repr(value)
    return "e" not in text and int(text.lstrip("-").replace(".", "")) < _MANTISSA


def number_text(value: float) -> str:
    """Write a number so that parse_number gives it back with its type."""
    return repr(value)


def parse_number(text: str) -> int | float:
    """Read what number_text wrote."""
    return int(text) if text.lstrip("-").isdigit() else float(text)


def double_below(value: float) -> float:
    """Return the largest double that is not above a number of 64 bits."""
    nearest = float(value)
    return math.nextafter(nearest, -math.inf) if isinstance(value, int) and int(nearest) > value else nearest


def order_key(value: float) -> tuple[int, int]:
    """Return two integers below 2**38 whose lexicographic order is that of int64 and double taken together.

    They are the bits of the largest double not above the number, ordered as the doubles are, then how far the number is above
    it, which is less than 2**11.
    """
    below = double_below(value) + 0.0  # which makes -0.0 the one zero
    residue = value - int(below) if isinstance(value, int) else 0
    bits = int.from_bytes(struct.pack(">d", below), "big")
    ordered = bits ^ _ALL if bits & _SIGN else bits | _SIGN
    return divmod(ordered << _RESIDUE_BITS | residue, 1 << _LOW_BITS)
