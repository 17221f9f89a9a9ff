"""The published measures of an embedding model, as their publishers define them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from scipy.stats import spearmanr  # type: ignore[import-untyped]  # scipy ships no types


def spearman(cosines: Sequence[float], scores: Sequence[float]) -> float:
    """Return 100 times the rank correlation of cosines with people's scores (STS)."""
    return 100 * float(spearmanr(cosines, scores).statistic)


def ndcg_at_10(found: Mapping[str, Sequence[str]], judgments: Mapping[str, Mapping[str, int]]) -> float:
    """Return 100 times nDCG@10, averaged over the judged queries.

    Gain is the score, discount log2(rank + 1): trec_eval's ndcg_cut_10.

    Args:
        found: for each query the ids of documents, best first.
        judgments: for each query the score of the documents that answer it.
    """
    parts = []
    for query, relevant in judgments.items():
        gained = _discounted([relevant.get(document, 0) for document in found[query][:10]])
        parts.append(gained / _discounted(sorted(relevant.values(), reverse=True)[:10]))
    return 100 * sum(parts) / len(parts)


def _discounted(gains: Sequence[int]) -> float:
    return sum(gain / math.log2(rank + 2) for rank, gain in enumerate(gains))
