"""vecgate for Haystack: a document store and retrievers. Needs `pip install 'vecgate[haystack]'`; see docs/haystack.md.

    from haystack import Document
    from vecgate.haystack import VecgateDocumentStore, VecgateTextRetriever

    store = VecgateDocumentStore("docs", target="localhost:50051")  # the server encodes
    store.write_documents([Document(content="The cat sat on the mat.", meta={"year": 2024})])
    VecgateTextRetriever(store).run("Where is the cat?")["documents"]

`import vecgate` does not import it.
"""

from __future__ import annotations

try:
    import haystack  # noqa: F401  # so that what is missing is told by the name of the extra
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        "vecgate.haystack needs haystack-ai: pip install 'vecgate[haystack]'", name=missing.name
    ) from missing

from vecgate.haystack.document_store import VecgateDocumentStore
from vecgate.haystack.retrievers import VecgateEmbeddingRetriever, VecgateTextRetriever

__all__ = ["VecgateDocumentStore", "VecgateEmbeddingRetriever", "VecgateTextRetriever"]
