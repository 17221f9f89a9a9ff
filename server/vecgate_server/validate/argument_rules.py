"""Rules of names, ids, sizes and choices: each check returns the value as the domain has it, or raises with the field's path."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from vecgate_backends.errors import InvalidArgumentError
from vecgate_server.errors import LimitExceededError

Choice = TypeVar("Choice")

MAX_ID_BYTES = 512
MAX_NAMESPACE_CHARACTERS = 64
MAX_COLLECTION_CHARACTERS = 45
DEFAULT_PAGE_SIZE = 100

_COLLECTION = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,43}[a-z0-9])?")
_NAMESPACE = re.compile(r"[\x20-\x7e]{0,64}")
# Unicode's category Cc: C0, DEL and C1.
CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def collection_name(name: str, path: str = "collection") -> str:
    """Check a collection's name: 1 to 45 of lower-case letters, digits and inner hyphens."""
    if not _COLLECTION.fullmatch(name):
        fault = "is required" if not name else "must be 1 to 45 of lower-case letters, digits and inner hyphens"
        raise InvalidArgumentError.at(path, fault)
    return name


def namespace(name: str, path: str = "namespace") -> str:
    """Check a namespace: 0 to 64 printable ASCII characters."""
    if not _NAMESPACE.fullmatch(name):
        raise InvalidArgumentError.at(path, "must be 0 to 64 printable ASCII characters")
    return name


def record_id(identifier: str, path: str) -> str:
    """Check a record's id: 1 to 512 bytes of UTF-8 without control characters."""
    if not identifier:
        raise InvalidArgumentError.at(path, "is required")
    # Most ids are short ASCII, for which the two cheap tests decide.
    plain = identifier.isascii() and identifier.isprintable()
    size = len(identifier) if plain else len(identifier.encode())
    if size > MAX_ID_BYTES:
        raise InvalidArgumentError.at(path, f"has {size} bytes; an id has at most {MAX_ID_BYTES}")
    if not plain and CONTROL_CHARACTER.search(identifier):
        raise InvalidArgumentError.at(path, "must not hold control characters")
    return identifier


def record_ids(identifiers: Iterable[str], path: str) -> tuple[str, ...]:
    """Check a list of ids, at least one; a repeated id counts once."""
    ids = tuple(dict.fromkeys(record_id(each, f"{path}[{row}]") for row, each in enumerate(identifiers)))
    if not ids:
        raise InvalidArgumentError.at(path, "must name at least one id")
    return ids


def batch(items: Sequence[object], path: str, limit: int) -> None:
    """Check that a batch has 1 to limits.max_batch items."""
    if not items:
        raise InvalidArgumentError.at(path, "must not be empty")
    at_most(len(items), path, "max_batch", limit, what="items")


def at_most(count: int, path: str, limit_name: str, limit: int, *, what: str = "") -> int:
    """Check a count against a configured limit.

    Raises:
        LimitExceededError: the count is larger; the message names the limit.
    """
    if count > limit:
        amount = f"has {count} {what}" if what else f"is {count}"
        raise LimitExceededError.at(path, f"{amount}; limits.{limit_name} is {limit}")
    return count


def count_up_to(asked: int | None, path: str, limit_name: str, limit: int, *, default: int) -> int:
    """Check a count of 1 to a limit; None is the default, or the limit where that is smaller."""
    if asked is None:
        return min(default, limit)
    if asked == 0:
        raise InvalidArgumentError.at(path, "must be at least 1")
    return at_most(asked, path, limit_name, limit)


def page_size(asked: int | None, limit: int) -> int:
    """Return the size of a page: unset and 0 are the default, more than the limit is coerced down (AIP-158)."""
    return min(asked or DEFAULT_PAGE_SIZE, limit)


def within(value: int, path: str, least: int, most: int) -> int:
    """Check that a number lies in a closed range."""
    if not least <= value <= most:
        raise InvalidArgumentError.at(path, f"is {value}, but must be {least:,} to {most:,}")
    return value


def finite(value: float, path: str) -> float:
    """Check that a number is neither NaN nor infinite."""
    if not math.isfinite(value):
        raise InvalidArgumentError.at(path, "must be a finite number")
    return value


def choice(number: int, table: Mapping[int, Choice], path: str) -> Choice:
    """Look up an enum's number; newer clients may send one that this version does not know."""
    try:
        return table[number]
    except KeyError:
        raise InvalidArgumentError.at(path, f"{number} is no value that this version knows") from None


def text(content: str, path: str, limit: int) -> str:
    """Check a text's size in bytes of UTF-8."""
    # A character has at most four bytes: short texts need no encoding to be told apart.
    if len(content) * 4 > limit and (size := len(content.encode())) > limit:
        at_most(size, path, "max_text_bytes", limit, what="bytes")
    return content
