"""Upsert, UpdateMetadata, Delete."""

from __future__ import annotations

from vecgate.v1 import write_pb2 as wire
from vecgate_backends.contract import MetadataChanges
from vecgate_backends.errors import InvalidArgumentError
from vecgate_backends.records import Acknowledgement
from vecgate_server.call_clock import call_clock
from vecgate_server.config_limits import LimitSettings
from vecgate_server.directory import Directory, LocatedCollection
from vecgate_server.encoders.base import Models
from vecgate_server.service.text_vectors import TextVectors
from vecgate_server.service.upsert_batch import UpsertBatch, upsert_target, write_batches
from vecgate_server.translate.enums import ACKNOWLEDGEMENTS
from vecgate_server.translate.filters import selector_from_wire
from vecgate_server.translate.metadata import metadata_from_wire
from vecgate_server.translate.outcomes import model_ref_to_wire, timings_to_wire
from vecgate_server.validate import argument_rules, metadata_rules


class WriteHandlers:
    """Records stored, changed and removed."""

    def __init__(self, directory: Directory, models: Models, limits: LimitSettings) -> None:
        self._directory = directory
        self._models = models
        self._limits = limits

    async def upsert(self, request: wire.UpsertRequest) -> wire.UpsertResponse:
        """Store the good records of a batch; texts that come without a vector are encoded, unless they are stored already."""
        clock = call_clock()
        argument_rules.batch(request.records, "records", self._limits.max_batch)
        target = await upsert_target(request, self._directory)
        batch = UpsertBatch(request.records, target, self._limits)
        await batch.check()
        await TextVectors(self._models, target, clock).fill(batch)
        await write_batches([batch], target)
        return wire.UpsertResponse(
            outcomes=batch.outcomes,
            stored_count=len(batch.outcomes) - batch.failed,
            failed_count=batch.failed,
            searchable=batch.searchable,
            consistency_token=batch.consistency_token,
            model=model_ref_to_wire(batch.model) if batch.model else None,
            timings=timings_to_wire(clock),
        )

    async def update_metadata(self, request: wire.UpdateMetadataRequest) -> wire.UpdateMetadataResponse:
        """Set and remove metadata fields of the selected records."""
        clock = call_clock()
        namespace = argument_rules.namespace(request.namespace)
        selector = selector_from_wire(request.selector, "selector", self._limits)
        changes = self._changes(request)
        acknowledgement = _acknowledgement(request)
        located = await self._open(request.collection)
        result = await located.collection.update_metadata(namespace, selector, changes, acknowledgement=acknowledgement)
        return wire.UpdateMetadataResponse(
            matched_count=result.matched,
            searchable=result.searchable,
            consistency_token=result.consistency_token,
            timings=timings_to_wire(clock),
        )

    async def delete(self, request: wire.DeleteRequest) -> wire.DeleteResponse:
        """Remove the selected records, or only count them."""
        clock = call_clock()
        namespace = argument_rules.namespace(request.namespace)
        selector = selector_from_wire(request.selector, "selector", self._limits)
        acknowledgement = _acknowledgement(request)
        located = await self._open(request.collection)
        result = await located.collection.delete(
            namespace, selector, dry_run=request.dry_run, acknowledgement=acknowledgement
        )
        return wire.DeleteResponse(
            deleted_count=result.matched,
            searchable=result.searchable,
            consistency_token="" if request.dry_run else result.consistency_token,
            timings=timings_to_wire(clock),
        )

    async def _open(self, name: str) -> LocatedCollection:
        return await self._directory.collection(argument_rules.collection_name(name))

    def _changes(self, request: wire.UpdateMetadataRequest) -> MetadataChanges:
        if not (request.set or request.remove):
            raise InvalidArgumentError.at("set", "name at least one field in set or remove")
        metadata_rules.metadata(request.set, "set", self._limits)
        most = self._limits.max_metadata_fields
        argument_rules.at_most(len(request.remove), "remove", "max_metadata_fields", most, what="fields")
        for position, name in enumerate(request.remove):
            path = f"remove[{position}]"
            metadata_rules.field_name(name, path)
            if name in request.set:
                raise InvalidArgumentError.at(path, f'field "{name}" is both set and removed')
        return MetadataChanges(set=metadata_from_wire(request.set), remove=frozenset(request.remove))


def _acknowledgement(request: wire.UpdateMetadataRequest | wire.DeleteRequest) -> Acknowledgement:
    return argument_rules.choice(request.acknowledgement, ACKNOWLEDGEMENTS, "acknowledgement")
