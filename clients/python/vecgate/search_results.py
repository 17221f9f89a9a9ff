"""What searches give: frozen dataclasses. Vectors and scores are float32 NumPy arrays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from vecgate.errors import VecgateError
from vecgate.records import MetadataValue
from vecgate.results import EncodedText, ModelRef, Timings

Outcome = TypeVar("Outcome")


@dataclass(frozen=True, slots=True)
class Match:
    """A record found.

    Attributes:
        score: of the search. Higher is nearer; the cosine, the inner product, or minus the Euclidean distance.
        rerank_score: the cross-encoder's, if it scored this match. Higher is nearer; the scale is the model's.
    """

    id: str
    score: float
    text: str | None = None
    metadata: Mapping[str, MetadataValue] = field(default_factory=dict)
    vector: NDArray[np.float32] | None = None
    rerank_score: float | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """How an answer came about: a sentence for people, and the numbers behind it."""

    plan: str
    details: Mapping[str, MetadataValue]


@dataclass(frozen=True, slots=True)
class Reranking:
    """What came of asking for reranking.

    Attributes:
        applied: False: the matches are those of the search alone, in its order.
        reason: why not, in one sentence; empty if applied.
        model: the cross-encoder; its fingerprint is empty if the deadline came before it was loaded.
        scored: matches that it scored.
        truncated: matches of which it read only the beginning.
    """

    applied: bool
    reason: str
    model: ModelRef
    scored: int
    truncated: int


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The answer to one query; iterates over its matches, nearest first.

    Attributes:
        matches: sorted by score, highest first, then by id; where reranking was applied, by rerank_score first.
        encoded: how a text query was read; None for other queries.
        explanation: if asked for.
        model: what encoded the query; None if nothing was encoded.
        timings: where the time went; of a batch, its whole request's.
        reranking: what came of it, if it was asked for.
    """

    matches: tuple[Match, ...]
    encoded: EncodedText | None
    explanation: Explanation | None
    model: ModelRef | None
    timings: Timings
    reranking: Reranking | None = None

    def __iter__(self) -> Iterator[Match]:
        return iter(self.matches)

    def __len__(self) -> int:
        return len(self.matches)


def all_or_first_error(outcomes: Iterable[Outcome | VecgateError]) -> tuple[Outcome, ...]:
    """Return the outcomes if none is an error.

    Raises:
        VecgateError: the first one.
    """
    results: list[Outcome] = []
    for outcome in outcomes:
        if isinstance(outcome, VecgateError):
            raise outcome
        results.append(outcome)
    return tuple(results)


@dataclass(frozen=True, slots=True)
class SearchBatchResult:
    """The answers to many queries, in their order; a query that failed has an error in its place."""

    outcomes: tuple[SearchResult | VecgateError, ...]

    def results(self) -> tuple[SearchResult, ...]:
        """Return every query's result.

        Raises:
            VecgateError: the first query's that failed.
        """
        return all_or_first_error(self.outcomes)


@dataclass(frozen=True, slots=True)
class RankedIds:
    """The answer to one query as columns of one length, nearest first.

    Attributes:
        ids: of the matches.
        scores: float32, shape (matches,).
        rerank_scores: float32, shape (matches,), NaN for matches that were not scored; None if not reranked.
        reranking: what came of it, if it was asked for.
    """

    ids: tuple[str, ...]
    scores: NDArray[np.float32]
    rerank_scores: NDArray[np.float32] | None = None
    reranking: Reranking | None = None
