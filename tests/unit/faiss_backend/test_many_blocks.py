"""What is found in many blocks is what is found in one that holds all of their rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecgate_backends.faiss import scoring
from vecgate_backends.faiss.block import Block
from vecgate_backends.faiss.scoring import index_form, squared_norms
from vecgate_backends.faiss.search import make_plan, run_plan
from vecgate_backends.records import FloatMatrix, Metric

DIMENSION = 4


def block_of(form: FloatMatrix, first: int, dead: list[int]) -> Block:
    """Return a block of these vectors; ids do not ascend with the rows."""
    live = np.ones(len(form), np.bool_)
    live[[row for row in dead if row < len(form)]] = False
    numbers = np.arange(first, first + len(form))
    ids = [f"{-number % 7}-{number}" for number in numbers]
    return Block(numbers, ids, form, squared_norms(form), live, int(np.count_nonzero(~live)))


@pytest.mark.parametrize("scored_cells", [scoring.SCORED_CELLS, 2 * DIMENSION], ids=["at once", "two at a time"])
@pytest.mark.parametrize("metric", Metric)
@given(
    sizes=st.lists(st.integers(0, 12), min_size=1, max_size=6),
    dead=st.lists(st.integers(0, 11), max_size=6),
    top_k=st.integers(1, 40),
    seed=st.integers(0, 1000),
)
def test_blocks_are_ranked_together(
    metric: Metric, scored_cells: int, sizes: list[int], dead: list[int], top_k: int, seed: int
) -> None:
    # Of two values, so that many tie, within a block and across; of length 2, so that nothing is rounded that does not tie in bulk as well.
    values = np.random.default_rng(seed).choice([-1, 1], (sum(sizes) + 4, DIMENSION))
    form = index_form(metric, values.astype("f4"))
    queries, rows = form[:4], form[4:]
    ends = np.cumsum(sizes).tolist()
    blocks = [block_of(rows[end - size : end], end - size, dead) for size, end in zip(sizes, ends, strict=True)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scoring, "SCORED_CELLS", scored_cells)
        found = run_plan(make_plan(blocks, None, metric, top_k, None), queries)
    for query, ranking in zip(queries, found, strict=True):
        hits = sorted(
            (-float(score), block.record_ids[row], int(block.internal_ids[row]))
            for block in blocks
            for row in np.flatnonzero(block.live).tolist()
            for score in scoring.final_scores(metric, query[np.newaxis], block.vectors[[row]], np.zeros(1, np.intp))
        )[:top_k]
        assert ranking.ids == [record_id for _, record_id, _ in hits]
        assert ranking.internal_ids == [number for *_, number in hits]
        assert ranking.scores.tolist() == [-negated for negated, *_ in hits]
