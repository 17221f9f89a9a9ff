"""How long a server with a filled Faiss store takes to serve, and how much memory it holds then.

    python -m benchmarks.faiss.start                                   # 10,000 and 100,000 records; 10,000 namespaces beside a large one
    python -m benchmarks.faiss.start --records 1000000 --namespaces 0 --folder /var/tmp/stores

Vectors are random around 200 centres: only their number matters here. Each record has a category, a number, a timestamp and a short text.
A store is filled in this process, then a server (`python -m vecgate_server`, without models) is started on it several times: with its
snapshot, and without. From its memory that of a server on an empty store is taken away.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.server import ServerProcess
from vecgate_backends.faiss import FaissBackend, FaissOptions
from vecgate_backends.faiss.codec import INDEX_KINDS
from vecgate_backends.faiss.collection import FaissCollection
from vecgate_backends.records import Acknowledgement, CollectionSpec, RecordBatch, Timestamp, WriteMode

DIMENSION = 384
CENTRES = 200
BATCH = 1_000
ROUNDS = 3
IN_A_NAMESPACE = 20
IN_THE_LARGE_ONE = 100_000
TOGETHER = 64
"""Namespaces written to at the same time, so that their commits are shared."""
SEED = 11


@dataclass(frozen=True, slots=True)
class Shape:
    """What a store is filled with.

    Attributes:
        name: of its folder and its line. records: in the namespace "". namespaces: beside it, of IN_A_NAMESPACE records each.
    """

    name: str
    records: int
    namespaces: int = 0

    @property
    def vectors(self) -> int:
        """All of them."""
        return self.records + self.namespaces * IN_A_NAMESPACE


@dataclass(frozen=True, slots=True)
class StartFigures:
    """What was measured of one store.

    Attributes:
        vectors: in it. filled: seconds that filling it took, the building of its index included.
        seconds: from the start of the process to SERVING, one a round. without_snapshot: the same when the snapshot is missing.
        bytes_a_vector: resident memory beyond that of an empty server.
    """

    name: str
    vectors: int
    filled: float
    seconds: list[float]
    without_snapshot: float
    bytes_a_vector: float


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.faiss.start", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--records", type=int, nargs="*", default=[10_000, 100_000], help="sizes of stores")
    parser.add_argument("--namespaces", type=int, default=10_000, help="small namespaces of the last store; 0 for none")
    parser.add_argument("--index", choices=sorted(INDEX_KINDS), default="hnsw")
    parser.add_argument("--folder", type=Path, help="where stores are made and kept; those found there are used again")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    shapes = [Shape(f"{records:,} records", records) for records in options.records]
    if options.namespaces:
        name = f"{options.namespaces:,} namespaces of {IN_A_NAMESPACE} and one of {IN_THE_LARGE_ONE:,}"
        shapes.append(Shape(name, IN_THE_LARGE_ONE, options.namespaces))
    console = Console(width=None if sys.stdout.isatty() else 140)
    with _folder(options.folder) as folder:
        empty = _memory_of_an_empty_server(folder)
        figures = [_measure(shape, options.index, folder, empty) for shape in shapes]
    print_figures(console, figures, options.index)
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(each) for each in figures], indent=1) + "\n", encoding="utf-8")
    return 0


def print_figures(console: Console, figures: Sequence[StartFigures], index: str) -> None:
    """Print the table."""
    table = Table(title=f"starts of a server, index {index}, {DIMENSION} dimensions", title_justify="left")
    for heading in (
        "store",
        "vectors",
        "filled in, s",
        "serves after, s",
        "least",
        "without snapshot",
        "bytes a vector",
    ):
        table.add_column(heading, justify="left" if heading == "store" else "right")
    for each in figures:
        cells = [each.filled, median(each.seconds), min(each.seconds), each.without_snapshot]
        table.add_row(
            each.name, f"{each.vectors:,}", *(f"{seconds:.1f}" for seconds in cells), f"{each.bytes_a_vector:,.0f}"
        )
    console.print(table)


def _measure(shape: Shape, index: str, folder: Path, empty: int) -> StartFigures:
    store = folder / f"{index}-{shape.records}-{shape.namespaces}"
    filled = 0.0
    if not store.exists():
        begun = time.monotonic()
        draft = store.with_suffix(".new")
        shutil.rmtree(draft, ignore_errors=True)
        asyncio.run(_fill(shape, index, draft))
        draft.rename(store)
        filled = time.monotonic() - begun
    seconds, memory = [], 0
    for _ in range(ROUNDS):
        with _server(store) as server:
            seconds.append(server.seconds_to_serving)
            memory = server.memory().rss
    for snapshot in store.glob("collections/*/snapshots/*"):
        snapshot.unlink()
    with _server(store) as server:
        without = server.seconds_to_serving
    return StartFigures(shape.name, shape.vectors, filled, seconds, without, (memory - empty) / shape.vectors)


def _memory_of_an_empty_server(folder: Path) -> int:
    with TemporaryDirectory(dir=folder) as store, _server(Path(store) / "empty") as server:
        return server.memory().rss


@contextmanager
def _folder(asked: Path | None) -> Iterator[Path]:
    if asked is None:
        with TemporaryDirectory(prefix="vecgate-start-") as made:
            yield Path(made)
    else:
        asked.mkdir(parents=True, exist_ok=True)
        yield asked.resolve()


@contextmanager
def _server(store: Path) -> Iterator[ServerProcess]:
    backends = {"faiss": {"kind": "faiss", "options": {"path": str(store)}}}
    settings = {"server": {"port": 0}, "models": {"preload": []}, "backends": backends}
    with TemporaryDirectory() as folder, ServerProcess(Path(folder), settings) as server:
        yield server


async def _fill(shape: Shape, index: str, store: Path) -> None:
    """Fill a store and close it once its index is built."""
    backend = FaissBackend(FaissOptions(path=store))
    await backend.start()
    await backend.create_collection(CollectionSpec("start", DIMENSION, index=INDEX_KINDS[index]()))
    collection = await backend.collection("start")
    rng = np.random.default_rng(SEED)
    centres = rng.standard_normal((CENTRES, DIMENSION), np.float32)
    for begin in range(0, shape.records, BATCH):
        await _write(collection, "", _batch(rng, centres, begin, min(BATCH, shape.records - begin)))
    for first in range(0, shape.namespaces, TOGETHER):
        names = [f"namespace {number:05}" for number in range(first, min(first + TOGETHER, shape.namespaces))]
        batches = [_batch(rng, centres, 0, IN_A_NAMESPACE) for _ in names]
        await asyncio.gather(*(_write(collection, name, batch) for name, batch in zip(names, batches, strict=True)))
    await backend.settle()
    await backend.close()


async def _write(collection: FaissCollection, namespace: str, batch: RecordBatch) -> None:
    await collection.upsert(namespace, batch, mode=WriteMode.UPSERT, acknowledgement=Acknowledgement.SEARCHABLE)


def _batch(rng: np.random.Generator, centres: np.ndarray, begin: int, count: int) -> RecordBatch:
    nearest = rng.integers(0, CENTRES, count).tolist()
    moments = rng.integers(1_500_000_000, 1_800_000_000, count).tolist()
    return RecordBatch(
        [f"record-{number:08}" for number in range(begin, begin + count)],
        centres[nearest] + rng.standard_normal((count, DIMENSION), np.float32),
        [f"A short text about record {number}, which says little more." for number in range(begin, begin + count)],
        [
            {"category": f"category {category:03}", "price": price, "created": Timestamp(moment)}
            for category, price, moment in zip(nearest, rng.random(count).round(6).tolist(), moments, strict=True)
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
