"""The calls of the load: what is asked, how often, and how long the caller waits.

Requests are bytes made beforehand, so that making them costs the clients nothing while they offer load.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vecgate.v1.collection_pb2 import CreateCollectionRequest
from vecgate.v1.filter_pb2 import Filter, Selector
from vecgate.v1.ingest_pb2 import UpsertStreamBatch, UpsertStreamClose, UpsertStreamOpen, UpsertStreamRequest
from vecgate.v1.metadata_pb2 import Value
from vecgate.v1.read_pb2 import CountRequest
from vecgate.v1.record_pb2 import Record
from vecgate.v1.search_pb2 import Query, SearchOptions, SearchRequest
from vecgate.v1.vector_pb2 import Vector
from vecgate.v1.write_pb2 import UpsertRequest

COLLECTION = "load"
DIMENSION = 384
RECORDS = 4_000
"""Stored from the beginning; writes replace some of them, so that the store stays as large as it is."""
VARIANTS = 512
WORDS = [
    "heat",
    "flow",
    "wing",
    "body",
    "shock",
    "layer",
    "plate",
    "laminar",
    "pressure",
    "supersonic",
    "theory",
    "drag",
    "cylinder",
    "velocity",
    "boundary",
    "surface",
    "jet",
    "nose",
    "cone",
    "turbulent",
    "transition",
    "measured",
    "calculated",
]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of call.

    Attributes:
        method: its RPC.
        share: of all calls.
        deadline: seconds.
        requests: variants of it; each is the messages of one call.
    """

    method: str
    share: float
    deadline: float
    requests: Sequence[Sequence[bytes]]


def collection() -> CreateCollectionRequest:
    """The collection that everything is about, bound to the default model."""
    return CreateCollectionRequest(name=COLLECTION, if_not_exists=True)


def first_writes() -> list[UpsertRequest]:
    """What is stored before the load begins."""
    return [
        UpsertRequest(collection=COLLECTION, records=[_record(number) for number in range(start, start + 200)])
        for start in range(0, RECORDS, 200)
    ]


def kinds() -> Mapping[str, Kind]:
    """Return every kind by its name; shares sum up to 1."""
    chance = random.Random(7)
    return {
        "search by vector": Kind("Search", 0.5, 1.0, [[_vector_search(chance)] for _ in range(VARIANTS)]),
        "search by text": Kind("Search", 0.2, 1.0, [[_text_search(chance, each)] for each in range(8 * VARIANTS)]),
        "count": Kind("Count", 0.1, 1.0, [[_count(chance)] for _ in range(VARIANTS)]),
        "upsert": Kind("Upsert", 0.12, 2.0, [[_upsert(chance)] for _ in range(VARIANTS)]),
        "upsert of text": Kind("Upsert", 0.05, 2.0, [[_upsert_text(chance, each)] for each in range(4 * VARIANTS)]),
        "stream": Kind("UpsertStream", 0.03, 5.0, [_stream(chance) for _ in range(VARIANTS)]),
    }


def _vector(seed: int) -> Vector:
    row = np.random.default_rng(seed).standard_normal(DIMENSION).astype("<f4")
    return Vector(packed=(row / np.linalg.norm(row)).tobytes())


def _record(number: int, version: int = 0) -> Record:
    metadata = {"year": Value(int_value=1950 + number % 70), "odd": Value(bool_value=bool(number % 2))}
    return Record(id=f"record-{number}", vector=_vector(number + version * RECORDS), metadata=metadata)


def _records(chance: random.Random, count: int) -> list[Record]:
    return [_record(chance.randrange(RECORDS), chance.randrange(8)) for _ in range(count)]


def _sentence(chance: random.Random, number: int) -> str:
    return " ".join([*chance.choices(WORDS, k=8), str(number)])


def _vector_search(chance: random.Random) -> bytes:
    options = SearchOptions(top_k=10)
    if chance.random() < 0.3:
        options.filter.expression = f"year > {chance.randrange(1950, 2010)}"
    query = Query(vector=_vector(chance.randrange(10**6)))
    return SearchRequest(collection=COLLECTION, query=query, options=options).SerializeToString()


def _text_search(chance: random.Random, number: int) -> bytes:
    return SearchRequest(collection=COLLECTION, query=Query(text=_sentence(chance, number))).SerializeToString()


def _count(chance: random.Random) -> bytes:
    selector = Selector(filter=Filter(expression=f"year = {chance.randrange(1950, 2020)}"))
    return CountRequest(collection=COLLECTION, selector=selector).SerializeToString()


def _upsert(chance: random.Random) -> bytes:
    return UpsertRequest(collection=COLLECTION, records=_records(chance, 4)).SerializeToString()


def _upsert_text(chance: random.Random, number: int) -> bytes:
    record = Record(id=f"text-{number % 200}", text=_sentence(chance, number))
    return UpsertRequest(collection=COLLECTION, records=[record]).SerializeToString()


def _stream(chance: random.Random) -> list[bytes]:
    batches = [UpsertStreamBatch(sequence=each, records=_records(chance, 8)) for each in (1, 2)]
    requests = [
        UpsertStreamRequest(open=UpsertStreamOpen(collection=COLLECTION)),
        *(UpsertStreamRequest(batch=batch) for batch in batches),
        UpsertStreamRequest(close=UpsertStreamClose()),
    ]
    return [request.SerializeToString() for request in requests]
