"""How broadly a graph is searched at least."""

from __future__ import annotations

import pytest

from vecgate_backends.faiss.segment_index import HnswGraph


@pytest.mark.parametrize(
    ("rows", "least"), [(100, 64), (100_000, 64), (200_000, 79), (400_000, 97), (1_000_000, 128), (10_000_000, 255)]
)
def test_large_graphs_are_walked_more_broadly(rows: int, least: int) -> None:
    assert next(HnswGraph(None, quantized=False).breadths(rows)) == least
