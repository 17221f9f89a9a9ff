"""Bulk documents on a GPU, where there is one."""

from __future__ import annotations

import subprocess

from benchmarks.encoder.bench import Bench
from benchmarks.encoder.load import asking, seconds_of_calls
from benchmarks.encoder.rows.bulk import seconds_of_bulk
from benchmarks.result import Measured, Row, RowSkippedError, figure, milliseconds
from benchmarks.server import ServerFailedError
from benchmarks.statistics import percentile

MICRO_BATCH_TOKENS = 65_536


def measure(bench: Bench) -> Measured:
    """Encode the corpus on device cuda with torch, which is what runs models there."""
    device = _device_name()
    rates: list[float] = []
    single: list[float] = []
    documents = bench.texts.documents
    try:
        with (
            bench.warm_server(device="cuda", micro_batch_tokens=MICRO_BATCH_TOKENS) as server,
            server.client() as client,
        ):
            for _ in range(bench.scale.rounds):
                rates.append(len(documents) / seconds_of_bulk(client, documents))
                single.append(
                    percentile(seconds_of_calls(asking(client, bench.texts.queries), calls=bench.scale.calls), 50)
                )
    except ServerFailedError as error:
        raise RowSkippedError(f"{device} is there, but the server does not run on it: {error}") from error
    return Measured(
        figures=(figure("server, bulk", "texts/s", rates), milliseconds("server, single text, p50", single)),
        notes=(f"{device}; encoder.micro_batch_tokens {MICRO_BATCH_TOKENS}",),
    )


def _device_name() -> str:
    try:
        names = subprocess.run(
            ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"], check=True, capture_output=True, text=True
        ).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise RowSkippedError("this machine has no NVIDIA GPU") from error
    return names.splitlines()[0].strip()


ROW = Row("gpu", "bulk documents on a GPU", measure)
