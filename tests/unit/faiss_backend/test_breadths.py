"""How broadly a graph is searched at least."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vecgate_backends.faiss.segment_index import MARGIN, SPARE, USUAL_REACH, Breadth, HnswGraph

ROWS = 8_192
USUAL = Breadth(1)


def ef(share: float, breadth: Breadth = USUAL, *, measured: int = 64, top_k: int = 10, wanted: int = ROWS) -> int:
    graph = HnswGraph(None, quantized=False, breadth=measured)
    return graph.effort(ROWS, wanted, top_k, replace(breadth, share=share)).breadth


@pytest.mark.parametrize(
    ("rows", "least"), [(100, 64), (100_000, 64), (200_000, 79), (400_000, 97), (1_000_000, 128), (10_000_000, 255)]
)
def test_large_graphs_are_walked_more_broadly(rows: int, least: int) -> None:
    assert next(HnswGraph(None, quantized=False).breadths(rows)) == least


@pytest.mark.parametrize(("share", "expected"), [(1.0, 64), (0.5, 56), (0.25, 49), (0.1, 41), (0.05, USUAL_REACH)])
def test_a_graph_of_a_share_of_the_rows_is_walked_less_broadly(share: float, expected: int) -> None:
    assert ef(share) == expected


@pytest.mark.parametrize("share", [1.0, 0.25, 0.01])
def test_a_graph_that_was_measured_to_need_more_gets_it_whatever_its_share(share: float) -> None:
    assert ef(share, measured=91) == 91


@pytest.mark.parametrize("top_k", [1, 10])
def test_few_matches_are_not_searched_for_less_broadly_than_ten(top_k: int) -> None:
    assert ef(0.01, top_k=top_k) == USUAL_REACH


def test_many_matches_are_reached_whatever_the_share() -> None:
    assert ef(0.01, top_k=100) == MARGIN * (100 + SPARE)


def test_where_few_rows_are_wanted_more_of_them_are_passed() -> None:
    assert ef(1.0, wanted=ROWS // 4) == 4 * 64


@pytest.mark.parametrize("asked", [False, True], ids=["of the index", "of the search"])
def test_what_was_asked_for_is_not_shared(asked: bool) -> None:
    assert ef(0.1, Breadth(90, asked=asked)) == 90
