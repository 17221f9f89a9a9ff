"""The file of a collection: replaced whole, so that a crash leaves the old one or the new one."""

from __future__ import annotations

import os
import pickle
from dataclasses import dataclass
from pathlib import Path

from vecgate_backends.errors import StorageCorruptError
from vecgate_backends.records import CollectionSpec, Record


@dataclass(frozen=True, slots=True)
class Contents:
    """What a file holds. Tokens name the collection's identity and the number of writes before."""

    spec: CollectionSpec
    identity: str
    sequence: int
    namespaces: dict[str, list[Record]]


def read_file(file: Path) -> Contents:
    """Read a file; StorageCorruptError if it is not one of the shelf's."""
    try:
        contents: Contents = pickle.loads(file.read_bytes())  # noqa: S301  # nobody but the shelf writes it
    except (pickle.UnpicklingError, EOFError, AttributeError) as error:
        raise StorageCorruptError(f"{file.name} cannot be read") from error
    return contents


def replace_file(file: Path, contents: Contents) -> None:
    """Write a file beside the old one and put it in its place; it is on the disk when this returns."""
    unfinished = file.with_suffix(".unfinished")
    with unfinished.open("wb") as stream:
        pickle.dump(contents, stream)
        stream.flush()
        os.fsync(stream.fileno())
    unfinished.replace(file)
    directory = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
