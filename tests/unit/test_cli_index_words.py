"""What the command line calls an index."""

from __future__ import annotations

import pytest

from vecgate import FlatIndex, HnswIndex, IvfIndex
from vecgate.cli.collections import _index_word


@pytest.mark.parametrize(
    ("index", "word"),
    [
        (None, "by size"),
        (FlatIndex(), "flat"),
        (HnswIndex(), "hnsw"),
        (HnswIndex(m=32, ef=77), "hnsw, m 32, ef 77"),
        (HnswIndex(ef_construction=200, quantization="scalar8"), "hnsw, scalar8, ef_construction 200"),
        (IvfIndex(), "ivf"),
        (IvfIndex(lists=300, nprobe=20), "ivf, lists 300, nprobe 20"),
    ],
)
def test_an_index_is_told_with_what_was_chosen_of_it(index: FlatIndex | HnswIndex | IvfIndex | None, word: str) -> None:
    assert _index_word(index) == word
