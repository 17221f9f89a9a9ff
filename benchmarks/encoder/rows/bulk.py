"""Documents of mixed length, as many as there are, in fp32 and in int8."""

from __future__ import annotations

import time
from functools import partial

from benchmarks.encoder.bench import Bench
from benchmarks.result import Measured, Row, RowSkippedError, at_least, figure
from benchmarks.server import ServerFailedError
from benchmarks.statistics import ratios
from vecgate import Client


def seconds_of_bulk(client: Client, documents: tuple[str, ...]) -> float:
    """Encode documents in one call of the client, which cuts them into requests, and return its seconds."""
    began = time.perf_counter()
    client.encode(documents, "document")
    return time.perf_counter() - began


def measure(bench: Bench, *, precision: str, limit: float, aim: float) -> Measured:
    """Encode the corpus: the server, then SentenceTransformer.encode with its defaults, in turns."""
    documents = bench.texts.documents
    if precision == "int8":
        refuse_without_int8(bench)
    rates: list[float] = []
    reference: list[float] = []
    with bench.warm_server(precision=precision) as server, server.client() as client, bench.reference() as model:
        for _ in range(bench.scale.rounds):
            rates.append(len(documents) / seconds_of_bulk(client, documents))
            reference.append(len(documents) / model.seconds_of_all(documents))
    return Measured(
        figures=(
            figure(f"server, {precision}", "texts/s", rates),
            figure("SentenceTransformer.encode, its defaults", "texts/s", reference),
        ),
        verdicts=(at_least("times the texts/s", "x", ratios(rates, reference), limit, aim),),
        notes=(f"{len(documents)} documents a round, one caller",),
    )


def refuse_without_int8(bench: Bench) -> None:
    """Skip the row if the server here does not serve the model in int8.

    Raises:
        RowSkippedError: it does not load, or what it loads is not int8.
    """
    try:
        with bench.server(precision="int8", name="int8") as server:
            served = server.default_model()
        with bench.server(name="fp32") as server:
            plain = server.default_model()
    except ServerFailedError as error:
        raise RowSkippedError(f"this server does not load the model in int8: {str(error).splitlines()[-1]}") from error
    if served.precision != "int8" or served.fingerprint == plain.fingerprint:
        raise RowSkippedError("encoder.precision: int8 has no effect on this server")


FP32 = Row("bulk", "bulk documents of mixed length, fp32", partial(measure, precision="fp32", limit=1.8, aim=2.1))
INT8 = Row("bulk-int8", "bulk documents of mixed length, int8", partial(measure, precision="int8", limit=2.3, aim=2.8))
