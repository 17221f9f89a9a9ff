"""Texts that were seen lately, with the cache on."""

from __future__ import annotations

import grpc

from benchmarks.encoder.bench import Bench
from benchmarks.encoder.load import seconds_of_calls
from benchmarks.result import Measured, Row, RowSkippedError, figure, milliseconds
from benchmarks.statistics import percentile, ratios
from vecgate.v1.encode_pb2 import ROLE_QUERY, EncodeRequest
from vecgate.v1.service_pb2_grpc import VectorSearchServiceStub


def measure(bench: Bench) -> Measured:
    """Encode short lines the server has not seen, then the same again."""
    scale, queries = bench.scale, bench.texts.queries
    missed: list[float] = []
    hit: list[float] = []
    with bench.warm_server(cache_mib=64) as server, grpc.insecure_channel(server.address) as channel:
        stub = VectorSearchServiceStub(channel)

        def ask(text: str) -> bool:
            request = EncodeRequest(texts=[text], role=ROLE_QUERY)
            return stub.Encode(request).embeddings[0].encoded.reused

        for start in range(0, scale.rounds * scale.calls, scale.calls):
            texts = [queries[(start + number) % len(queries)] for number in range(scale.calls)]
            missed.append(percentile(seconds_of_calls(lambda number: ask(texts[number]), calls=scale.calls), 50))  # noqa: B023  # called at once
            if not all(ask(text) for text in texts):
                raise RowSkippedError("this server keeps no vectors of texts it has seen (encoder.cache_mib)")
            hit.append(percentile(seconds_of_calls(lambda number: ask(texts[number]), calls=scale.calls), 50))  # noqa: B023  # called at once
    return Measured(
        figures=(
            milliseconds("not seen, p50", missed),
            milliseconds("seen, p50", hit),
            figure("times faster", "x", ratios(missed, hit)),
        ),
        notes=("every other row has the cache off",),
    )


ROW = Row("cache", "a short text that was seen before, cache of 64 MiB", measure)
