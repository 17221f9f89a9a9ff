"""Building the index of a segment, in steps: lots of vectors, or passes of k-means over a sample of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import faiss
import numpy as np

from vecgate_backends.faiss.build_steps import BuildSteps
from vecgate_backends.faiss.calibration import QUERIES, calibrated
from vecgate_backends.faiss.scoring import Rows
from vecgate_backends.faiss.segment_index import SegmentIndex, segment_index
from vecgate_backends.records import (
    FlatIndex,
    FloatMatrix,
    FloatVector,
    HnswIndex,
    IndexConfig,
    IvfIndex,
    Metric,
    Quantization,
)

BUILD_ROWS = 128
"""Vectors added to an index at a time by each thread, within 6 to 40 ms; more of many, since each lot costs Faiss a lock a row of the whole."""
MOST_LOTS = 2048
"""Lots of an index at most."""
DRAFT_BREADTH = 40
"""How broadly a draft of a graph is built at most. Measured with 8,192 embeddings of definitions, against 100: 0.38 s of a core and not 0.97, a recall
of 0.991 and not 0.995 with ef 64; bulk upserts are 1.3 times as fast, since they wait for seals."""
VECTORS_A_LIST = 39
"""Fewest vectors a list for which k-means is said to work: Faiss's ClusteringParameters.min_points_per_centroid."""
LISTS_A_ROOT = 4
"""Lists a square root of the vectors, the least that Faiss's "Guidelines to choose an index" advise; more make a longer first step."""
LEAST_LISTS = 16
"""Fewer lists save nothing over comparing with every row, so so small a segment stays FLAT."""
SAMPLED_A_LIST = 64
"""Vectors a list that k-means looks at; the guidelines say 30 to 256."""
PASSES = 10
"""Passes of k-means, as many as Faiss takes for inverted lists."""
SEED = 1234
FAISS_METRICS: Mapping[Metric, int] = MappingProxyType(
    {
        Metric.COSINE: faiss.METRIC_INNER_PRODUCT,  # vectors in index form have length 1
        Metric.DOT: faiss.METRIC_INNER_PRODUCT,
        Metric.EUCLIDEAN: faiss.METRIC_L2,
    }
)


def buildable(settings: IndexConfig, norms: FloatVector) -> IndexConfig:
    """Return the settings, or FlatIndex where vectors of these squared lengths, shape (n,), can be searched no other way."""
    if not np.isfinite(norms).all():
        return FlatIndex()  # distances beyond float32 would lead a walk astray
    if isinstance(settings, IvfIndex) and len(norms) < LEAST_LISTS * VECTORS_A_LIST:
        return FlatIndex()
    return settings


@lru_cache(256)  # asked as often as the parameters of segments are
def build_settings(settings: IndexConfig) -> IndexConfig:
    """Return the settings without what searches alone depend on: equal ones build alike."""
    match settings:
        case HnswIndex():
            return replace(settings, ef=HnswIndex().ef)
        case IvfIndex():
            return replace(settings, nprobe=None)
        case FlatIndex():
            return settings


def build_index(
    vectors: FloatMatrix,
    metric: Metric,
    settings: HnswIndex | IvfIndex,
    steps: BuildSteps,
    *,
    draft: bool = False,
) -> SegmentIndex:
    """Return a calibrated index over vectors in index form; takes about 0.1 ms a vector, twice that where they are many.

    A draft, of a graph, is built with a breadth of DRAFT_BREADTH at most.

    Raises:
        BuildStoppedError: it is to be given up.
    """
    if isinstance(settings, IvfIndex):
        raw = _empty_lists(vectors, metric, settings, steps)
    else:
        with steps.next():
            raw = _empty_graph(vectors, metric, _drafted(settings) if draft else settings)
    held_back = _held_back(len(vectors), settings)
    others = np.setdiff1d(np.arange(len(vectors)), held_back)
    lot = max(BUILD_ROWS * faiss.omp_get_max_threads(), len(others) // MOST_LOTS)
    for begin in range(0, len(others), lot):
        with steps.next():
            _add(raw, vectors, others[begin : begin + lot])
    index = segment_index(raw, settings, 0)
    if len(others):
        with steps.next():
            index = calibrated(index, metric, vectors, held_back)
    with steps.next():
        _add(raw, vectors, held_back)
    return segment_index(raw, settings, index.breadth)


def is_drafted(settings: IndexConfig) -> bool:
    """Return whether a draft with these settings differs from what is built otherwise."""
    return isinstance(settings, HnswIndex) and _drafted(settings) != settings


def list_count(rows: int, settings: IvfIndex) -> int:
    """Return the number of lists for so many vectors: those asked for or LISTS_A_ROOT, as long as each gets VECTORS_A_LIST."""
    asked = settings.lists or round(LISTS_A_ROOT * math.sqrt(rows))
    return max(1, min(asked, rows // VECTORS_A_LIST))


def _drafted(settings: HnswIndex) -> HnswIndex:
    return replace(settings, ef_construction=min(settings.ef_construction, DRAFT_BREADTH))


def _empty_graph(vectors: FloatMatrix, metric: Metric, settings: HnswIndex) -> Any:
    dimension = vectors.shape[1]
    graph: Any
    if settings.quantization is Quantization.SCALAR8:
        eight_bits: Any = faiss.ScalarQuantizer.QT_8bit
        graph = faiss.IndexHNSWSQ(dimension, eight_bits, settings.m, FAISS_METRICS[metric])
        graph.train(vectors)  # the range of each component
    else:
        graph = faiss.IndexHNSWFlat(dimension, settings.m, FAISS_METRICS[metric])
    graph.hnsw.efConstruction = settings.ef_construction
    return graph


def _empty_lists(vectors: FloatMatrix, metric: Metric, settings: IvfIndex, steps: BuildSteps) -> Any:
    dimension = vectors.shape[1]
    lists = list_count(len(vectors), settings)
    sample = vectors
    if len(vectors) > SAMPLED_A_LIST * lists:
        chosen = np.random.default_rng(SEED).choice(len(vectors), SAMPLED_A_LIST * lists, replace=False)
        sample = vectors[np.sort(chosen)]
    centroids = _centroids(sample, metric, lists, steps)
    raw = faiss.IndexIVFScalarQuantizer(
        centroids, dimension, lists, faiss.ScalarQuantizer.QT_8bit, FAISS_METRICS[metric]
    )
    with steps.next():
        raw.train(sample)  # the range of each component; the lists are there already
    return raw


def _centroids(sample: FloatMatrix, metric: Metric, lists: int, steps: BuildSteps) -> Any:
    """Return a flat Faiss index of the centres of the lists."""
    parameters = faiss.ClusteringParameters()
    parameters.niter = 1  # a pass at a time, each from the centres of the one before
    parameters.seed = SEED
    parameters.spherical = metric is not Metric.EUCLIDEAN
    parameters.min_points_per_centroid = 1
    parameters.max_points_per_centroid = len(sample)  # it is a sample already
    clustering = faiss.Clustering(sample.shape[1], lists, parameters)
    centres = faiss.IndexFlat(sample.shape[1], FAISS_METRICS[metric])
    for _ in range(PASSES):
        with steps.next():
            clustering.train(sample, centres)
    return centres


def _held_back(rows: int, settings: HnswIndex | IvfIndex) -> Rows:
    """Return the rows to measure with: some from everywhere, but of a graph, which numbers rows as they come, the last ones."""
    count = min(rows, QUERIES)
    if isinstance(settings, HnswIndex):
        return np.arange(rows - count, rows)
    return np.sort(np.random.default_rng(SEED).choice(rows, count, replace=False))


def _add(raw: Any, vectors: FloatMatrix, rows: Rows) -> None:
    if isinstance(raw, faiss.IndexIVF):
        raw.add_with_ids(vectors[rows], rows)
    else:
        raw.add(vectors[rows])
