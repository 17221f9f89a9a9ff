"""vecgate for LangChain: a VectorStore and Embeddings. Needs `pip install 'vecgate[langchain]'`; see docs/langchain.md.

    from vecgate.langchain import VecgateVectorStore

    store = VecgateVectorStore("docs", target="localhost:50051")  # the server encodes
    store.add_texts(["The cat sat on the mat."], [{"year": 2024}])
    store.similarity_search("Where is the cat?", k=3, filter={"year": {"$gte": 2020}})

`import vecgate` does not import it.
"""

from __future__ import annotations

try:
    import langchain_core  # noqa: F401  # so that what is missing is told by the name of the extra
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        "vecgate.langchain needs langchain-core: pip install 'vecgate[langchain]'", name=missing.name
    ) from missing

from vecgate.langchain.embeddings import VecgateEmbeddings
from vecgate.langchain.vector_store import VecgateVectorStore

__all__ = ["VecgateEmbeddings", "VecgateVectorStore"]
