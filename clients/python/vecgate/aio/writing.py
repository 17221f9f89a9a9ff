"""Writing, changing and deleting records."""

# ruff: noqa: ASYNC109  # a timeout is told to the server, it is no cancellation here
# ruff: noqa: A002  # filter, all and set are the words of the API

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from vecgate.aio.connection import AsyncConnected
from vecgate.batching import batch_bounds
from vecgate.errors import VecgateError
from vecgate.filters import Filter
from vecgate.records import Acknowledgement, MetadataInput, Record, Truncation, WriteMode
from vecgate.results import ChangeResult, UpsertResult
from vecgate.upserting import UpsertTally
from vecgate.v1.write_pb2 import DeleteRequest, UpdateMetadataRequest, UpsertRequest
from vecgate.wire.choices import ACKNOWLEDGEMENTS, TRUNCATIONS, WRITE_MODES, choose
from vecgate.wire.filters import name_list, selector_message
from vecgate.wire.records import change_from
from vecgate.wire.values import metadata_messages

REPEATABLE_MODES = frozenset({"upsert", "update"})
"""Write modes in which a request done twice is the same as done once; "insert" would meet its own records."""


class AsyncWriting(AsyncConnected):
    """The client's methods that write."""

    async def upsert(
        self,
        collection: str,
        records: Iterable[Record | Mapping[str, object]],
        *,
        namespace: str = "",
        mode: WriteMode = "upsert",
        acknowledgement: Acknowledgement = "searchable",
        truncation: Truncation = "error",
        vector_fingerprint: str | None = None,
        batch_size: int | None = None,
        timeout: float | None = None,
    ) -> UpsertResult:
        """Store records, encoding the texts of those without a vector.

        Any number of records is read lazily and cut into requests of a size the server takes, sent one after the other,
        so that of two records with one id the last stands. A bad record fails alone; look at the result's `failures`,
        or call its raise_for_failures().

        Args:
            collection: the collection.
            records: Record objects, or mappings with the keys id, text, vector, metadata.
            namespace: a partition of the collection; 0 to 64 printable ASCII characters.
            mode: "upsert" stores or replaces, "insert" fails records that exist, "update" those that do not.
            acknowledgement: what is true when this returns: "durable", or "searchable" as well.
            truncation: of text longer than the model reads: "error" (the record fails) or "truncate" (told in the result).
            vector_fingerprint: what made the vectors in `records`; checked against the collection's model.
            batch_size: records of one request, at most the server's max_batch; None: the client chooses.
            timeout: seconds for each request.

        Raises:
            NotFoundError: COLLECTION_NOT_FOUND.
            FailedPreconditionError: MODEL_MISMATCH; COLLECTION_UNBOUND for texts without vectors.
            TypeError: an item of `records` is neither a Record nor a mapping.
            VecgateError: a request as a whole failed; `acknowledged` tells what earlier requests stored.
        """
        connection = self._connection
        options = UpsertRequest(
            collection=collection,
            namespace=namespace,
            mode=choose(WRITE_MODES, mode, "mode"),
            acknowledgement=choose(ACKNOWLEDGEMENTS, acknowledgement, "acknowledgement"),
            truncation=choose(TRUNCATIONS, truncation, "truncation"),
            vector_fingerprint=vector_fingerprint,
        )
        bounds = batch_bounds(await connection.limits(), batch_size)
        tally = UpsertTally()
        for batch in tally.batches(records, bounds):
            request = UpsertRequest(records=[placed.message for placed in batch])
            request.MergeFrom(options)
            try:
                response = await connection.call(
                    connection.stub.Upsert,
                    request,
                    deadline=connection.deadlines.bulk,
                    timeout=timeout,
                    retry_unavailable=mode in REPEATABLE_MODES,
                )
            except VecgateError as error:
                error.acknowledged = tally.result()
                raise
            tally.add(batch, response)
        return tally.result()

    async def update_metadata(
        self,
        collection: str,
        *,
        ids: Sequence[str] | None = None,
        filter: Filter | str | None = None,
        all: bool = False,
        set: Mapping[str, MetadataInput] | None = None,
        remove: Sequence[str] = (),
        namespace: str = "",
        acknowledgement: Acknowledgement = "searchable",
        timeout: float | None = None,
    ) -> ChangeResult:
        """Set and remove metadata fields of records; text and vectors stay.

        Args:
            collection: the collection.
            ids: the records with these ids; exactly one of `ids`, `filter` and `all` is given.
            filter: the records that match.
            all: every record of the namespace.
            set: fields to set; None values are dropped, so that they change nothing.
            remove: fields to remove; absent ones are no error.
            namespace: the partition.
            acknowledgement: as in upsert().
            timeout: seconds.

        Raises:
            InvalidArgumentError: no or several selections, nothing to change, a field both set and removed.
            NotFoundError: COLLECTION_NOT_FOUND.
        """
        request = UpdateMetadataRequest(
            collection=collection,
            namespace=namespace,
            selector=selector_message(ids, filter, all),
            set=metadata_messages(set or {}, "set"),
            remove=name_list(remove, "remove"),
            acknowledgement=choose(ACKNOWLEDGEMENTS, acknowledgement, "acknowledgement"),
        )
        response = await self._connection.call(
            self._connection.stub.UpdateMetadata,
            request,
            deadline=self._connection.deadlines.bulk,
            timeout=timeout,
        )
        return change_from(response)

    async def delete(
        self,
        collection: str,
        *,
        ids: Sequence[str] | None = None,
        filter: Filter | str | None = None,
        all: bool = False,
        dry_run: bool = False,
        namespace: str = "",
        acknowledgement: Acknowledgement = "searchable",
        timeout: float | None = None,
    ) -> ChangeResult:
        """Delete records.

        Args:
            collection: the collection.
            ids: the records with these ids, those not stored are no error; exactly one of `ids`, `filter` and `all` is given.
            filter: the records that match.
            all: every record of the namespace.
            dry_run: only count them.
            namespace: the partition.
            acknowledgement: as in upsert(); "searchable" means that no search sees them any more.
            timeout: seconds.

        Raises:
            InvalidArgumentError: no or several selections, or a bad filter.
            NotFoundError: COLLECTION_NOT_FOUND.
        """
        request = DeleteRequest(
            collection=collection,
            namespace=namespace,
            selector=selector_message(ids, filter, all),
            dry_run=dry_run,
            acknowledgement=choose(ACKNOWLEDGEMENTS, acknowledgement, "acknowledgement"),
        )
        response = await self._connection.call(
            self._connection.stub.Delete,
            request,
            deadline=self._connection.deadlines.bulk,
            timeout=timeout,
        )
        return change_from(response)
