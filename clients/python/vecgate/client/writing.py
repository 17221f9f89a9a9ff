# Generated from vecgate/aio/writing.py by clients/python/generate_client.py; edit that file.
"""Writing, changing and deleting records."""

# ruff: noqa: A002  # filter, all and set are the words of the API

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from vecgate.batching import batch_bounds
from vecgate.client.connection import Connected
from vecgate.filters import Filter
from vecgate.records import Acknowledgement, MetadataInput, Record, Truncation, WriteMode
from vecgate.results import ChangeResult, UpsertResult
from vecgate.upserting import REPEATABLE_MODES, UpsertTally, upsert_request
from vecgate.v1.write_pb2 import DeleteRequest, UpdateMetadataRequest
from vecgate.wire.choices import ACKNOWLEDGEMENTS, choose
from vecgate.wire.filters import name_list, selector_message
from vecgate.wire.records import change_from
from vecgate.wire.values import metadata_messages


class Writing(Connected):
    """The client's methods that write.

    >>> (client.upsert("docs", [Record("owl", "The owl slept.")])).stored
    1
    >>> (client.update_metadata("docs", ids=["owl"], set={"year": 2025})).count
    1
    """

    def upsert(
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
        """Store records, encoding the texts of those without a vector. A bad record fails alone: see `failures`.

        Any number of records is read lazily and sent in requests of a size the server takes, one after the other.

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
            TypeError: an item of `records` is neither a Record nor a mapping.
            VecgateError: a request as a whole failed; `acknowledged` tells what earlier requests stored.
        """
        frame = upsert_request(collection, namespace, mode, acknowledgement, truncation, vector_fingerprint)
        upsert, again = self._connection.stub.Upsert, mode in REPEATABLE_MODES
        bounds = batch_bounds(self._connection.limits(), batch_size)
        tally = UpsertTally()
        for request in tally.requests(frame, records, bounds):
            with tally.told_by_errors():
                tally.add(self._connection.bulk(upsert, request, timeout, repeatable=again))
        return tally.result()

    def update_metadata(
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
        response = self._connection.bulk(self._connection.stub.UpdateMetadata, request, timeout)
        return change_from(response)

    def delete(
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

        >>> (client.delete("docs", filter="year < 2020")).count
        1

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
        response = self._connection.bulk(self._connection.stub.Delete, request, timeout)
        return change_from(response)
