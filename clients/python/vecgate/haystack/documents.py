"""Haystack's documents ⇄ records.

A record needs a text or a vector. A document that has no vector, and gets none from the server since it has no content or
the collection is of raw vectors, is stored with a stand-in, the first unit vector, and marked by haystack:unembedded:
reads give it without an embedding, and searches leave it out. What else a document may have (blob, sparse embedding,
score) is kept as JSON in haystack:document, within the server's limit for metadata.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any

import numpy as np
from haystack.dataclasses import ByteStream, Document, SparseEmbedding
from haystack.errors import FilterError
from haystack.utils.filters import document_matches_filter

from vecgate.filters import field
from vecgate.haystack.filter_translation import StoreFilter, Translation
from vecgate.haystack.metadata import fields_from, meta_from
from vecgate.nested_metadata import json_value
from vecgate.records import Record
from vecgate.results import Collection, StoredRecord
from vecgate.search_results import Match, SearchResult

REST = "haystack:document"
UNEMBEDDED = "haystack:unembedded"
EMBEDDED = ~field(UNEMBEDDED).exists()
"""True of the records whose vector is the document's, not a stand-in."""


def record_from(document: Document, collection: Collection, path: str) -> Record:
    """Make a record.

    Args:
        document: it is not changed.
        collection: where it will be stored.
        path: where it stands, for errors.

    Raises:
        InvalidArgumentError: METADATA_VALUE: something that cannot be stored.
    """
    metadata = fields_from(document.meta, f"{path}.meta")
    rest = _rest(document, path)
    if rest:
        metadata[REST] = json.dumps(rest, ensure_ascii=False)
    vector: Any = document.embedding
    if vector is None and (document.content is None or collection.model is None):
        metadata[UNEMBEDDED] = True
        vector = np.eye(1, collection.dimension, dtype=np.float32)[0]
    return Record(document.id, document.content, vector, metadata)


def document_from(
    found: StoredRecord | Match, *, score: float | None = None, return_embedding: bool = True
) -> Document:
    """Make a document of what was read or found.

    Args:
        found: with all its metadata, and with its vector if an embedding is wanted.
        score: of the search; None: as the document was written.
        return_embedding: whether the document has its embedding.
    """
    rest = found.metadata.get(REST)
    parts: dict[str, Any] = json.loads(rest) if isinstance(rest, str) else {}
    vector = found.vector if return_embedding and UNEMBEDDED not in found.metadata else None
    return Document(
        id=found.id,
        content=found.text,
        meta=meta_from(found.metadata),
        embedding=None if vector is None else vector.tolist(),
        blob=_blob(parts["blob"]) if "blob" in parts else None,
        sparse_embedding=SparseEmbedding(**parts["sparse_embedding"]) if "sparse_embedding" in parts else None,
        score=parts.get("score") if score is None else score,
    )


def documents_from(result: SearchResult) -> list[Document]:
    """Make documents of matches; where they were reranked, their scores are the cross-encoder's."""
    return [
        document_from(match, score=match.score if match.rerank_score is None else match.rerank_score)
        for match in result
    ]


def is_match(record: StoredRecord, filters: StoreFilter | None, translation: Translation) -> bool:
    """Whether a filter is true of a record that its translation lets through.

    Raises:
        FilterError: it compares what cannot be compared.
    """
    if translation.exact or not isinstance(filters, Mapping):
        return True
    try:
        return bool(document_matches_filter(dict(filters), document_from(record)))
    except TypeError as unfit:
        raise FilterError(f"{filters!r} cannot be applied to document {record.id!r}: {unfit}") from unfit


def _rest(document: Document, path: str) -> dict[str, Any]:
    rest: dict[str, Any] = {}
    if document.blob is not None:
        rest["blob"] = {
            "data": b64encode(document.blob.data).decode(),
            "meta": json_value(document.blob.meta, f"{path}.blob.meta"),
            "mime_type": document.blob.mime_type,
        }
    if document.sparse_embedding is not None:
        sparse = document.sparse_embedding
        rest["sparse_embedding"] = {
            "indices": json_value(list(sparse.indices), f"{path}.sparse_embedding.indices"),
            "values": json_value(list(sparse.values), f"{path}.sparse_embedding.values"),
        }
    if document.score is not None:
        rest["score"] = json_value(document.score, f"{path}.score")
    return rest


def _blob(parts: dict[str, Any]) -> ByteStream:
    return ByteStream(b64decode(parts["data"]), meta=parts["meta"], mime_type=parts["mime_type"])
