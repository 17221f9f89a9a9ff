"""Rerank: texts scored against a query."""

from __future__ import annotations

from vecgate.v1 import model_pb2 as wire
from vecgate_backends.errors import InvalidArgumentError
from vecgate_server.call_clock import call_clock
from vecgate_server.config_limits import LimitSettings
from vecgate_server.encoders.base import LongText, Models
from vecgate_server.service.model_rules import named_cross_encoder, text_too_long
from vecgate_server.translate.enums import TRUNCATION_ON_READ
from vecgate_server.translate.outcomes import encoded_pairs_to_wire, model_ref_to_wire, timings_to_wire
from vecgate_server.validate import argument_rules


class RerankHandlers:
    """Pairs of a query and a text to scores, nothing stored."""

    def __init__(self, models: Models, limits: LimitSettings) -> None:
        self._models = models
        self._limits = limits

    async def rerank(self, request: wire.RerankRequest) -> wire.RerankResponse:
        """Score texts in the request's order."""
        clock = call_clock()
        if not request.model:
            raise InvalidArgumentError.at("model", "is required")
        argument_rules.text(request.query, "query", self._limits.max_text_bytes)
        argument_rules.batch(request.texts, "texts", self._limits.max_batch)
        for row, text in enumerate(request.texts):
            argument_rules.text(text, f"texts[{row}]", self._limits.max_text_bytes)
        long_text = argument_rules.choice(request.truncation, TRUNCATION_ON_READ, "truncation")
        cross_encoder = await named_cross_encoder(self._models, request.model, "model")
        scored = await cross_encoder.score(request.query, list(request.texts), long_text=long_text)
        clock.reranked(scored.timings)
        model = cross_encoder.description
        if long_text is LongText.REFUSE and scored.truncated.any():
            raise text_too_long(f"texts[{int(scored.truncated.argmax())}]", model, beside="the query")
        return wire.RerankResponse(
            scores=scored.scores.tolist(),
            encoded=encoded_pairs_to_wire(scored),
            model=model_ref_to_wire(model),
            timings=timings_to_wire(clock),
        )
