"""Encode and ListModels."""

from __future__ import annotations

from vecgate.v1 import encode_pb2, model_pb2
from vecgate_backends.errors import InvalidArgumentError
from vecgate_server.call_clock import call_clock
from vecgate_server.config_limits import LimitSettings
from vecgate_server.encoders.base import Encoding, LongText, ModelDescription, Models
from vecgate_server.service.model_rules import named_encoder, of_dimensions, text_too_long
from vecgate_server.translate.enums import ROLES, TRUNCATION_ON_READ, VECTORS_AS_FLOATS
from vecgate_server.translate.outcomes import (
    encoded_text_to_wire,
    model_info_to_wire,
    model_ref_to_wire,
    timings_to_wire,
)
from vecgate_server.translate.vectors import vector_to_wire
from vecgate_server.validate import argument_rules


class EncodeHandlers:
    """Texts to vectors, nothing stored."""

    def __init__(self, models: Models, limits: LimitSettings) -> None:
        self._models = models
        self._limits = limits

    async def encode(self, request: encode_pb2.EncodeRequest) -> encode_pb2.EncodeResponse:
        """Encode texts in the request's order."""
        clock = call_clock()
        argument_rules.batch(request.texts, "texts", self._limits.max_batch)
        for row, text in enumerate(request.texts):
            argument_rules.text(text, f"texts[{row}]", self._limits.max_text_bytes)
        if request.role == encode_pb2.ROLE_UNSPECIFIED:
            raise InvalidArgumentError.at("role", "is required: ROLE_QUERY or ROLE_DOCUMENT")
        role = argument_rules.choice(request.role, ROLES, "role")
        long_text = argument_rules.choice(request.truncation, TRUNCATION_ON_READ, "truncation")
        as_floats = argument_rules.choice(request.vector_encoding, VECTORS_AS_FLOATS, "vector_encoding")
        encoder = await named_encoder(self._models, request.model or None, "model")
        if request.HasField("dimensions"):
            encoder = of_dimensions(encoder, request.dimensions, "dimensions")
        model = encoder.description
        encoding = await encoder.encode(list(request.texts), role, long_text=long_text)
        clock.encoded(encoding.timings)
        if long_text is LongText.REFUSE:
            _refuse_long(encoding, model)
        return encode_pb2.EncodeResponse(
            embeddings=[
                encode_pb2.Embedding(
                    vector=vector_to_wire(vector, as_floats=as_floats), encoded=encoded_text_to_wire(encoding, row)
                )
                for row, vector in enumerate(encoding.vectors)
            ],
            model=model_ref_to_wire(model),
            timings=timings_to_wire(clock),
        )

    def list_models(self) -> model_pb2.ListModelsResponse:
        """Describe every configured model, the default first."""
        return model_pb2.ListModelsResponse(models=[model_info_to_wire(status) for status in self._models.statuses()])


def _refuse_long(encoding: Encoding, model: ModelDescription) -> None:
    for row, truncated in enumerate(encoding.truncated):
        if truncated:
            raise text_too_long(f"texts[{row}]", model)
