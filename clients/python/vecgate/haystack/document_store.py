"""The document store, put together from its parts."""

from __future__ import annotations

from vecgate.haystack.asynchronous import AsynchronousStore
from vecgate.haystack.blocking import BlockingStore


class VecgateDocumentStore(BlockingStore, AsynchronousStore):
    """Documents in a collection of a vecgate server, as Haystack's document store.

    Without `embedding_dimension` the server encodes documents and queries with the collection's model; with it alone the
    collection holds the embeddings that a pipeline's embedders make. docs/haystack.md tells how documents are stored.

        store = VecgateDocumentStore("docs", target="localhost:50051")
        store.write_documents([Document(content="The cat sat on the mat.", meta={"year": 2024})])
        store.filter_documents({"field": "meta.year", "operator": ">=", "value": 2020})
        store.text_retrieval("Where is the cat?", top_k=3)

    Making one sends nothing.

    Args:
        collection: its name; it is made at the first write, if it does not exist.
        target: host:port of the server.
        namespace: a partition of the collection.
        model: of a collection that is made; None: the server's default model, unless `embedding_dimension` is given.
        embedding_dimension: of a collection that is made. Alone: of raw vectors, which embedders of the pipeline make.
            With a model: its vectors are cut (Matryoshka).
        metric: of a collection that is made: "cosine", "dot" or "euclidean".
        backend: of a collection that is made; None: the server's default.
        create_collection: False: a collection that does not exist is an error, also for reads.
        truncation: of content longer than the server's model reads: "error" or "truncate".
        return_embedding: whether filter_documents() gives embeddings; None: those that the pipeline made, not the server's.
        api_key: for a server that asks for one.
        deadlines: seconds by kind of call, as vecgate.Deadlines has them.
        tls: True: encrypted; a mapping: encrypted, with paths of PEM files, as vecgate.TlsOptions has them.
        connection: further arguments of vecgate.Client that YAML can hold.

    Raises:
        InvalidArgumentError: the target is no address, or a deadline is not positive.
    """
