"""LangChain's documents ⇄ records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from uuid import uuid4

from langchain_core.documents import Document

from vecgate.errors import InvalidArgumentError
from vecgate.nested_metadata import flat_metadata, nested_metadata
from vecgate.records import Record
from vecgate.results import StoredRecord, UpsertResult
from vecgate.search_results import Match


def with_ids(documents: Sequence[Document], ids: Sequence[str | None] | None) -> list[str]:
    """Give each document its id: the one handed in, else its own, else a new UUID. The documents are not changed.

    Raises:
        InvalidArgumentError: there are not as many ids as documents.
    """
    if ids is not None and len(ids) != len(documents):
        raise InvalidArgumentError.at("ids", f"{len(ids)} for {len(documents)} documents")
    given: Iterable[str | None] = ids if ids is not None else [None] * len(documents)
    return [id_ or document.id or str(uuid4()) for id_, document in zip(given, documents, strict=True)]


def documents_of(texts: Iterable[str], metadatas: Sequence[Mapping[str, Any]] | None) -> list[Document]:
    """Make documents of texts and their metadata.

    Raises:
        InvalidArgumentError: there are not as many of one as of the other.
    """
    listed = list(texts)
    if metadatas and len(metadatas) != len(listed):
        raise InvalidArgumentError.at("metadatas", f"{len(metadatas)} for {len(listed)} texts")
    return [
        Document(page_content=text, metadata=dict(metadata))
        for text, metadata in zip(listed, metadatas or [{}] * len(listed), strict=True)
    ]


def records_of(documents: Sequence[Document], ids: Sequence[str]) -> list[Record]:
    """Make records, all of them before the first is sent.

    Raises:
        InvalidArgumentError: METADATA_VALUE, at the path of what cannot be stored.
    """
    return [
        Record(id_, document.page_content, metadata=flat_metadata(document.metadata, f"documents[{index}].metadata"))
        for index, (id_, document) in enumerate(zip(ids, documents, strict=True))
    ]


def with_vectors(records: Sequence[Record], vectors: Sequence[Sequence[float]]) -> Iterator[Record]:
    """Add vectors to records, one each."""
    for record, vector in zip(records, vectors, strict=True):
        yield Record(record.id, record.text, vector, record.metadata)


def document_from(found: StoredRecord | Match) -> Document:
    """Make a document of what was read or found; a record without text has an empty one."""
    return Document(id=found.id, page_content=found.text or "", metadata=nested_metadata(found.metadata))


def raise_for_failures(result: UpsertResult) -> None:
    """Do nothing if every document was stored.

    Raises:
        VecgateError: the first failure's; its `acknowledged` tells what became of the others.
    """
    for failure in result.failures:
        failure.error.acknowledged = result
        raise failure.error
