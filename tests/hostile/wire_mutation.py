"""Messages made wrong: a field here and there takes a value from the edge of what it may hold, or bytes are changed on the wire.

The structure is kept most of the time, since bytes changed at random seldom get beyond the parser.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message

STRINGS: Sequence[str] = (
    "",
    " ",
    "a",
    "a1",
    "year",
    "\0",
    "a\0b",
    "a\nb",
    "\x1b[31m",
    "\x7f",
    "\x85",
    "\u2028",
    "\u202e",
    "\ufeff",
    "\ufffe",
    "é",
    "e\u0301",
    "\U0001f600",
    "\U0010ffff",
    "ß" * 300,
    "a" * 45,
    "a" * 46,
    "a" * 65,
    "x" * 513,
    "x" * 70_000,
    "-a",
    "a-",
    "..",
    "../../etc/passwd",
    "%00",
    "%s%n",
    "{0}",
    "$a",
    "__a",
    'a"b',
    "a\\",
    "a.b[0]",
    "'; DROP TABLE records; --",
    "NaN",
    "1e999",
    "9" * 400,
)
EXPRESSION_PARTS: Sequence[str] = (
    "year", "tags", '"odd name"', "AND", "OR", "NOT", "-", "(", ")", "=", "!=", "<", "<=", ">", ">=", ":", ":*", "IN", ",",
    "1", "-1", "2.5", "1e308", "1e309", "9223372036854775807", "9223372036854775808", "true", "false", "null", '"a"', '"', '"\\"',
    "'a'", "\\", "timestamp", "exists", '"2024-02-30T00:00:00Z"', '"2024-01-01T00:00:00+25:00"', '"9999-12-31T23:59:60.999999999Z"', '"0001-01-01T00:00:00Z"', ".", "[", "*", "é", "\0", "\t", "\n",
)  # fmt: skip
TOKENS: Sequence[str] = (
    "AAAA",
    "A",
    "=",
    "%",
    "a.1",
    "a.",
    ".1",
    "a.-1",
    "a.1e9",
    "a." + "9" * 400,
    "é.1",
    "a.\0",
    "a.\u0661",
)
INTEGERS: Sequence[int] = (
    0, 1, -1, 2, 3, 7, 45, 46, 100, 127, 128, 1_000, 1_001, 10_000, 10_001, 65_536,
    2**31 - 1, 2**31, -(2**31), 2**32 - 1, 2**32, 2**53 + 1, 2**63 - 1, -(2**63), 2**64 - 1,
)  # fmt: skip
FLOATS: Sequence[float] = (
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    1e-45,
    1e-320,
    3.4e38,
    3.5e38,
    1e308,
    math.inf,
    -math.inf,
    math.nan,
)
COMPONENTS = np.array([0, 1, -1, 1e-45, 3e38, -3e38, np.inf, np.nan, 1e19, 0.5], "<f4")
NOT_UTF8: Sequence[bytes] = (b"\xff", b"\xed\xa0\x80", b"\xc0\x80", b"\xf5\x80\x80\x80", b"\xe2\x82")
"""What no string may hold: a stray byte, a surrogate, an overlong NUL, a code point past the last, an end cut off."""
MOST_COPIES = 20
DEEPEST_NEST = 60
"""Levels that a filter is wrapped into; protobuf itself refuses messages nested deeper than 100."""
RANGES: Mapping[int, tuple[int, int]] = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
    FieldDescriptor.CPPTYPE_ENUM: (-(2**31), 2**31 - 1),
}


class Mutator:
    """Makes wrong messages of right ones; the same chance makes the same."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.tokens: Sequence[str] = ()
        """Tokens that are good, or were; some are changed in one place."""
        self._wire: Sequence[Callable[[bytearray], None]] = (
            self._flip,
            self._replace,
            self._insert,
            self._leave_out,
            self._repeat,
            self._cut,
            self._insert_no_text,
        )

    def mutated(self, seed: Message) -> bytes:
        """Return the bytes of a message that differs from a seed in a few places."""
        message = type(seed)()
        message.CopyFrom(seed)
        for _ in range(self._chance.choice((0, 1, 1, 1, 2, 3))):
            # Filters wrapped twice may be nested deeper than protobuf itself copies.
            with suppress(DecodeError):
                self._change(message)
        content = bytearray(message.SerializeToString())
        if self._chance.random() < 0.25:
            for _ in range(self._chance.choice((1, 1, 2, 5))):
                self._chance.choice(self._wire)(content)
        return bytes(content)

    def _change(self, message: Message) -> None:
        """Change one field somewhere in a message."""
        place = self._chance.choice(list(_parts(message)))
        fields: Sequence[Any] = list(place.DESCRIPTOR.fields)
        if place.DESCRIPTOR.name == "Filter" and self._chance.random() < 0.1:
            self._wrap(place)
        elif fields:
            self._change_field(place, self._chance.choice(fields))

    def _change_field(self, place: Any, field: FieldDescriptor) -> None:
        roll = self._chance.random()
        if roll < 0.15:
            place.ClearField(field.name)
        elif field.message_type is not None and field.message_type.GetOptions().map_entry:
            self._put_into_map(getattr(place, field.name), field.message_type)
        elif field.is_repeated:
            self._change_list(getattr(place, field.name), field)
        elif field.message_type is not None:
            getattr(place, field.name).SetInParent()
        else:
            setattr(place, field.name, self._scalar(field))

    def _change_list(self, values: Any, field: FieldDescriptor) -> None:
        if values and self._chance.random() < 0.3:
            values.extend([self._chance.choice(values)] * self._chance.randrange(1, MOST_COPIES))
        elif values and self._chance.random() < 0.3:
            del values[self._chance.randrange(len(values))]
        elif field.message_type is not None:
            values.add()
        else:
            values.append(self._scalar(field))

    def _put_into_map(self, mapping: Any, entry: Descriptor) -> None:
        name = self._chance.choice(STRINGS)
        if entry.fields_by_name["value"].message_type is not None:
            mapping[name].SetInParent()
            self._change(mapping[name])

    def _wrap(self, node: Any) -> None:
        """Put a filter at the bottom of negations or lists."""
        kind = self._chance.choice(("negation", "all_of", "any_of"))
        for _ in range(self._chance.choice((1, 5, 31, 32, 45, DEEPEST_NEST))):
            inner = type(node)()
            inner.CopyFrom(node)
            node.Clear()
            (node.negation if kind == "negation" else getattr(node, kind).filters.add()).CopyFrom(inner)

    def _scalar(self, field: FieldDescriptor) -> Any:
        choose = self._chance.choice
        match field.cpp_type:
            case FieldDescriptor.CPPTYPE_STRING if field.type == FieldDescriptor.TYPE_BYTES:
                return self._packed()
            case FieldDescriptor.CPPTYPE_STRING:
                return self._string(field.name)
            case FieldDescriptor.CPPTYPE_BOOL:
                return choose((False, True))
            case FieldDescriptor.CPPTYPE_FLOAT | FieldDescriptor.CPPTYPE_DOUBLE:
                return choose(FLOATS)
        if field.enum_type is not None and self._chance.random() < 0.6:
            return choose(field.enum_type.values).number
        least, most = RANGES[field.cpp_type]
        return min(max(choose(INTEGERS), least), most)

    def _string(self, name: str) -> str:
        if name == "expression":
            return self._chance.choice(("", " ")).join(
                self._chance.choices(EXPRESSION_PARTS, k=self._chance.choice((1, 3, 5, 9, 60, 400)))
            )
        if name.endswith("token") and self._chance.random() < 0.7:
            return self._token()
        return self._chance.choice(STRINGS)

    def _token(self) -> str:
        if not self.tokens or self._chance.random() < 0.3:
            return self._chance.choice(TOKENS)
        token = self._chance.choice(self.tokens)
        if self._chance.random() < 0.5:
            return token
        place = self._chance.randrange(len(token) + 1)
        return token[:place] + self._chance.choice("aZ0-_=.é") + token[place + 1 :]

    def _packed(self) -> bytes:
        count = self._chance.choice((0, 1, 2, 2, 2, 2, 3, 384))
        components = COMPONENTS[[self._chance.randrange(len(COMPONENTS)) for _ in range(count)]]
        content: bytes = components.tobytes()
        return content[: len(content) - self._chance.choice((0, 0, 0, 1))]

    def _place(self, content: bytearray) -> int:
        return self._chance.randrange(len(content) + 1)

    def _flip(self, content: bytearray) -> None:
        if content:
            content[self._chance.randrange(len(content))] ^= 1 << self._chance.randrange(8)

    def _replace(self, content: bytearray) -> None:
        if content:
            content[self._chance.randrange(len(content))] = self._chance.choice((0, 1, 0x7F, 0x80, 0xFF))

    def _insert(self, content: bytearray) -> None:
        place = self._place(content)
        content[place:place] = self._chance.randbytes(self._chance.choice((1, 1, 4, 64)))

    def _insert_no_text(self, content: bytearray) -> None:
        place = self._place(content)
        broken = self._chance.choice(NOT_UTF8)
        content[place : place + len(broken)] = broken

    def _leave_out(self, content: bytearray) -> None:
        place = self._place(content)
        del content[place : place + self._chance.choice((1, 1, 4, 64))]

    def _repeat(self, content: bytearray) -> None:
        start, end = sorted((self._place(content), self._place(content)))
        content[end:end] = content[start:end] * self._chance.choice((1, 1, 3))

    def _cut(self, content: bytearray) -> None:
        del content[self._place(content) :]


def _parts(message: Message) -> Iterator[Message]:
    """Yield a message and every message inside it."""
    yield message
    for field, content in message.ListFields():
        if field.message_type is None:
            continue
        if not field.is_repeated:
            yield from _parts(content)
        elif field.message_type.GetOptions().map_entry:
            if field.message_type.fields_by_name["value"].message_type is not None:
                for each in content.values():
                    yield from _parts(each)
        else:
            for each in content:
                yield from _parts(each)
