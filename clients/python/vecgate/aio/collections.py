"""Making, describing, changing and deleting collections."""

# ruff: noqa: ASYNC109  # a timeout is told to the server, it is no cancellation here

from __future__ import annotations

from vecgate.aio.connection import AsyncConnected
from vecgate.records import IndexConfig, Metric
from vecgate.results import Collection, CollectionInfo, CollectionListing
from vecgate.v1.collection_pb2 import DeleteCollectionRequest, GetCollectionRequest, ListCollectionsRequest
from vecgate.wire.collections import collection_from, collection_info_from, create_message, update_message


class AsyncCollections(AsyncConnected):
    """The client's methods about collections."""

    async def create_collection(
        self,
        name: str,
        *,
        model: str | None = None,
        dimension: int | None = None,
        metric: Metric = "cosine",
        backend: str | None = None,
        index: IndexConfig | None = None,
        exist_ok: bool = False,
        timeout: float | None = None,
    ) -> Collection:
        """Make a collection.

        >>> (await client.create_collection("notes", exist_ok=True)).dimension
        384

        Args:
            name: 1 to 45 of lower-case letters, digits and inner hyphens.
            model: the model that encodes its texts; None: the server's default model, unless `dimension` is given.
            dimension: length of its vectors. Alone: it takes raw vectors only. With a model: they are cut (Matryoshka).
            metric: "cosine", "dot" or "euclidean".
            backend: where it lives; None: the server's default backend.
            index: FlatIndex(), HnswIndex(...) or IvfIndex(...); None: the backend chooses by size.
            exist_ok: answer an existing collection of the same settings instead of raising.
            timeout: seconds.

        Raises:
            AlreadyExistsError: COLLECTION_EXISTS, or, with `exist_ok`, one of other settings.
            InvalidArgumentError: a bad name or index; MODEL_KIND.
            NotFoundError: MODEL_NOT_FOUND, BACKEND_NOT_FOUND.
            UnimplementedError: DIMENSIONS_UNSUPPORTED: the model's vectors cannot be cut to that length.
        """
        request = create_message(
            name, model=model, dimension=dimension, metric=metric, backend=backend, index=index, exist_ok=exist_ok
        )
        response = await self._connection.admin(self._connection.stub.CreateCollection, request, timeout)
        return collection_from(response.collection)

    async def get_collection(self, name: str, *, timeout: float | None = None) -> CollectionInfo:
        """Describe a collection and count its records.

        >>> (await client.get_collection("docs")).record_count
        3

        Args:
            name: the collection.
            timeout: seconds.

        Raises:
            NotFoundError: COLLECTION_NOT_FOUND.
        """
        response = await self._connection.read(
            self._connection.stub.GetCollection, GetCollectionRequest(name=name), timeout
        )
        return collection_info_from(response)

    async def list_collections(self, *, timeout: float | None = None) -> CollectionListing:
        """Return every collection, by name, and which backends did not answer.

        >>> "docs" in [collection.name for collection in (await client.list_collections()).collections]
        True

        Args:
            timeout: seconds.
        """
        collections: list[Collection] = []
        unavailable: dict[str, None] = {}
        token = ""
        while True:
            response = await self._connection.read(
                self._connection.stub.ListCollections, ListCollectionsRequest(page_token=token), timeout
            )
            collections += [collection_from(message) for message in response.collections]
            unavailable.update(dict.fromkeys(response.unavailable_backends))
            token = response.next_page_token
            if not token:
                return CollectionListing(tuple(collections), tuple(unavailable))

    async def update_collection(
        self, name: str, *, index: IndexConfig | None, timeout: float | None = None
    ) -> Collection:
        """Change the index of a collection: it is built anew in the background, and searches go on meanwhile.

        >>> (await client.update_collection("docs", index=FlatIndex())).index
        FlatIndex()

        Args:
            name: the collection.
            index: the new one, whole: FlatIndex(), HnswIndex(...) or IvfIndex(...); None: the backend chooses.
            timeout: seconds.

        Raises:
            InvalidArgumentError: a bad index, or one that the backend does not build (INDEX_UNSUPPORTED).
            NotFoundError: COLLECTION_NOT_FOUND.
            UnimplementedError: the backend cannot change an index (UNSUPPORTED).
        """
        response = await self._connection.admin(
            self._connection.stub.UpdateCollection, update_message(name, index), timeout
        )
        return collection_from(response.collection)

    async def delete_collection(self, name: str, *, timeout: float | None = None) -> None:
        """Delete a collection and all its records.

        >>> await client.delete_collection("docs")

        Args:
            name: the collection.
            timeout: seconds.

        Raises:
            NotFoundError: COLLECTION_NOT_FOUND.
        """
        await self._connection.admin(
            self._connection.stub.DeleteCollection, DeleteCollectionRequest(name=name), timeout
        )
