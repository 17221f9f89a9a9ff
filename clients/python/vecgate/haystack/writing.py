"""What the store's blocking and asynchronous writes share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from haystack import Document
from haystack.document_stores.errors import DocumentStoreError, DuplicateDocumentError
from haystack.document_stores.types import DuplicatePolicy

from vecgate.filters import Filter, field
from vecgate.haystack.documents import record_from
from vecgate.haystack.metadata import VALUES, update_of
from vecgate.nested_metadata import NESTED
from vecgate.records import MetadataInput, Record, WriteMode
from vecgate.results import Collection, StoredRecord, UpsertResult

MODES: dict[DuplicatePolicy, WriteMode] = {
    DuplicatePolicy.NONE: "insert",
    DuplicatePolicy.FAIL: "insert",
    DuplicatePolicy.SKIP: "insert",
    DuplicatePolicy.OVERWRITE: "upsert",
}
"""Policy → how records are written; NONE is FAIL."""
PLAIN = ~(field(VALUES).exists() | field(NESTED).exists())
"""True of records without lists and dictionaries: what is to be set of them is the same for all."""


def records_of(documents: Sequence[Document], collection: Collection) -> list[Record]:
    """Make records, all of them before the first is sent.

    Raises:
        InvalidArgumentError: METADATA_VALUE, at the path of what cannot be stored.
    """
    return [record_from(document, collection, f"documents[{index}]") for index, document in enumerate(documents)]


def checked(documents: object) -> list[Document]:
    """Take a list of documents.

    Raises:
        ValueError: it is something else.
    """
    if isinstance(documents, str) or not isinstance(documents, Iterable):
        raise ValueError(f"expected a list of documents, got {documents!r}")  # noqa: TRY004  # as Haystack has it
    listed = list(documents)
    for index, document in enumerate(listed):
        if not isinstance(document, Document):
            raise ValueError(f"documents[{index}]: expected a Document, got {document!r}")  # noqa: TRY004  # likewise
    return listed


def ids_that_must_be_new(documents: Sequence[Document], policy: DuplicatePolicy) -> list[str]:
    """Return the ids that must not be stored yet, so that nothing is written if one is.

    Raises:
        DuplicateDocumentError: two of the documents have the same one.
    """
    if policy not in (DuplicatePolicy.NONE, DuplicatePolicy.FAIL):
        return []
    ids = [document.id for document in documents]
    if len(set(ids)) < len(ids):
        twice = next(id_ for id_ in ids if ids.count(id_) > 1)
        raise DuplicateDocumentError(f"two of the documents have the id {twice!r}; nothing was written")
    return ids


def refuse_stored(stored: Iterable[StoredRecord]) -> None:
    """Do nothing if there are none.

    Raises:
        DuplicateDocumentError: there are.
    """
    ids = [record.id for record in stored]
    if ids:
        raise DuplicateDocumentError(f"already stored: {_some(ids)}; nothing was written")


def count_of_written(result: UpsertResult, policy: DuplicatePolicy) -> int:
    """Say how many documents were written.

    Raises:
        DuplicateDocumentError: another writer stored one first; the others were written.
        DocumentStoreError: a document was refused; the others were written.
    """
    duplicates = [failure for failure in result.failures if failure.error.reason == "RECORD_EXISTS"]
    others = [failure for failure in result.failures if failure not in duplicates]
    if others:
        first = others[0]
        raise DocumentStoreError(
            f"{len(others)} of the documents were refused, {result.stored} written; the first is {first.id!r}: {first.error}"
        ) from first.error
    if duplicates and policy != DuplicatePolicy.SKIP:
        raise DuplicateDocumentError(
            f"already stored: {_some([each.id for each in duplicates])}; {result.stored} others were written"
        ) from duplicates[0].error
    return result.stored


def and_plain(necessary: Filter | None) -> Filter:
    """Narrow a selection to records without lists and dictionaries."""
    return PLAIN if necessary is None else necessary & PLAIN


def and_composite(necessary: Filter | None) -> Filter:
    """Narrow a selection to records with lists or dictionaries."""
    return ~PLAIN if necessary is None else necessary & ~PLAIN


def updates_of(
    meta: Mapping[str, Any], records: Iterable[StoredRecord]
) -> list[tuple[list[str], dict[str, MetadataInput], list[str]]]:
    """Say what to set and to remove of records that differ: ids, fields to set, to remove; nothing where nothing changes.

    Raises:
        InvalidArgumentError: METADATA_VALUE, at the path of what cannot be stored.
    """
    grouped: dict[str, tuple[list[str], dict[str, MetadataInput], list[str]]] = {}
    for record in records:
        wanted, gone = update_of(meta, record.metadata)
        changed = {name: value for name, value in wanted.items() if not _is_same(record.metadata.get(name), value)}
        if changed or gone:
            grouped.setdefault(repr((sorted(changed.items()), gone)), ([], changed, gone))[0].append(record.id)
    return list(grouped.values())


def _is_same(stored: object, wanted: object) -> bool:
    """Whether two values are equal, and of one type: 1 equals True, and is another value."""
    return type(stored) is type(wanted) and stored == wanted


def _some(ids: Sequence[str]) -> str:
    listed = ", ".join(repr(id_) for id_ in ids[:5])
    return listed if len(ids) <= 5 else f"{listed} and {len(ids) - 5} more"
