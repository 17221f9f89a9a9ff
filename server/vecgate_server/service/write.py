"""Upsert, UpdateMetadata, Delete."""

from __future__ import annotations

from vecgate.v1 import write_pb2 as wire
from vecgate_backends.contract import MetadataChanges
from vecgate_backends.errors import InvalidArgumentError, VecgateError
from vecgate_backends.records import Acknowledgement
from vecgate_server.config import LimitSettings
from vecgate_server.directory import Directory, LocatedCollection
from vecgate_server.encoders.base import Models
from vecgate_server.service.model_rules import check_vector_fingerprint
from vecgate_server.service.record_intake import RecordIntake
from vecgate_server.service.text_vectors import TextVectors
from vecgate_server.status import item_error
from vecgate_server.telemetry import CallClock
from vecgate_server.translate.enums import ACKNOWLEDGEMENTS, TRUNCATION_ON_WRITE, WRITE_MODES
from vecgate_server.translate.filters import selector_from_wire
from vecgate_server.translate.metadata import metadata_from_wire
from vecgate_server.translate.outcomes import timings_to_wire
from vecgate_server.validate import argument_rules, metadata_rules


class WriteHandlers:
    """Records stored, changed and removed."""

    def __init__(self, directory: Directory, models: Models, limits: LimitSettings) -> None:
        self._directory = directory
        self._models = models
        self._limits = limits

    async def upsert(self, request: wire.UpsertRequest) -> wire.UpsertResponse:
        """Store the good records of a batch; texts that come without a vector are encoded, unless they are stored already."""
        clock = CallClock()
        namespace = argument_rules.namespace(request.namespace)
        argument_rules.batch(request.records, "records", self._limits.max_batch)
        mode = argument_rules.choice(request.mode, WRITE_MODES, "mode")
        acknowledgement = _acknowledgement(request)
        long_text = argument_rules.choice(request.truncation, TRUNCATION_ON_WRITE, "truncation")
        located = await self._open(request.collection)
        fingerprint = request.vector_fingerprint if request.HasField("vector_fingerprint") else None
        check_vector_fingerprint(fingerprint, located.spec, "vector_fingerprint")

        intake = RecordIntake(request.records, located.spec, self._limits)
        response = wire.UpsertResponse(outcomes=[wire.RecordOutcome(id=record.id) for record in request.records])
        if intake.to_encode:
            await TextVectors(self._models, located, namespace, long_text, clock).fill(intake, response)
        if intake.good:
            result = await clock.backend(
                located.collection.upsert(namespace, intake.batch(), mode=mode, acknowledgement=acknowledgement)
            )
            intake.fail_written(result.errors)
            response.searchable = result.searchable
            response.consistency_token = result.consistency_token
        _report_faults(response, intake.faults)
        response.timings.CopyFrom(timings_to_wire(clock))
        return response

    async def update_metadata(self, request: wire.UpdateMetadataRequest) -> wire.UpdateMetadataResponse:
        """Set and remove metadata fields of the selected records."""
        clock = CallClock()
        namespace = argument_rules.namespace(request.namespace)
        selector = selector_from_wire(request.selector, "selector", self._limits)
        changes = self._changes(request)
        acknowledgement = _acknowledgement(request)
        located = await self._open(request.collection)
        result = await clock.backend(
            located.collection.update_metadata(namespace, selector, changes, acknowledgement=acknowledgement)
        )
        return wire.UpdateMetadataResponse(
            matched_count=result.matched,
            searchable=result.searchable,
            consistency_token=result.consistency_token,
            timings=timings_to_wire(clock),
        )

    async def delete(self, request: wire.DeleteRequest) -> wire.DeleteResponse:
        """Remove the selected records, or only count them."""
        clock = CallClock()
        namespace = argument_rules.namespace(request.namespace)
        selector = selector_from_wire(request.selector, "selector", self._limits)
        acknowledgement = _acknowledgement(request)
        located = await self._open(request.collection)
        result = await clock.backend(
            located.collection.delete(namespace, selector, dry_run=request.dry_run, acknowledgement=acknowledgement)
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
        for position, name in enumerate(request.remove):
            path = f"remove[{position}]"
            metadata_rules.field_name(name, path)
            if name in request.set:
                raise InvalidArgumentError.at(path, f'field "{name}" is both set and removed')
        return MetadataChanges(set=metadata_from_wire(request.set), remove=frozenset(request.remove))


def _acknowledgement(request: wire.UpsertRequest | wire.UpdateMetadataRequest | wire.DeleteRequest) -> Acknowledgement:
    return argument_rules.choice(request.acknowledgement, ACKNOWLEDGEMENTS, "acknowledgement")


def _report_faults(response: wire.UpsertResponse, faults: list[VecgateError | None]) -> None:
    for outcome, fault in zip(response.outcomes, faults, strict=True):
        if fault is not None:
            outcome.error.CopyFrom(item_error(fault))
    response.failed_count = sum(fault is not None for fault in faults)
    response.stored_count = len(faults) - response.failed_count
