"""Rebuilding the index: when blocks become a new segment, which ones, and how it is made.

While records are written there are three reasons: the head is full; a segment is to be built anew, because many of its rows are dead or
because the collection's index was changed; or there are several segments of one size, which are merged. Merging by size keeps the number of segments logarithmic, and each vector is built into a graph a
logarithmic number of times. Once writing has paused there is a fourth: one graph of many rows is searched in the time of two of few. And a
fifth: a draft is to be built anew.

A head becomes a draft, since searches compare its rows exactly until then and bulk writers wait for it; what is merged, or was left alone, is built
as the collection's index says.
"""

from __future__ import annotations

import math
import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vecgate_backends.faiss.block import Block
from vecgate_backends.faiss.build_steps import BuildSteps, BuildStoppedError
from vecgate_backends.faiss.head import Head
from vecgate_backends.faiss.index_building import build_index, build_settings, buildable, is_drafted
from vecgate_backends.faiss.manifest import SegmentRow
from vecgate_backends.faiss.packed_ids import PackedIds
from vecgate_backends.faiss.scoring import squared_norms
from vecgate_backends.faiss.segment import Segment
from vecgate_backends.faiss.segment_file import (
    FILE_VERSION,
    SegmentContents,
    graph_vectors,
    manifest_checksum,
    mapped_vectors,
    segment_path,
    write_segment,
)
from vecgate_backends.faiss.segment_index import SegmentIndex
from vecgate_backends.faiss.segment_parameters import SegmentParameters
from vecgate_backends.records import CollectionSpec, FlatIndex, FloatMatrix, FloatVector, HnswIndex, IndexConfig

DEFAULT_INDEX = HnswIndex()
MERGED_SEGMENTS = 4
"""So many segments of one size become one of the next size."""
DEAD_SHARE = 0.3
"""A segment with a larger share of dead rows is built anew without them."""
COPIED_ROWS = 8192
"""Vectors that are copied at a time on their way into a new segment."""
QUIET_SHARE = 0.25
"""Once writing has paused, a segment is merged with all that are smaller if these hold together so many of its rows: so no vector is
built into a graph more often than seven times while its namespace doubles, its draft included, however often writing pauses."""


@dataclass(frozen=True, slots=True)
class Rebuild:
    """What a new segment is made from, as it was when that was decided: chunks of the head or segments, never both.

    Attributes:
        head: closed chunks of the head, which they leave when the segment is published.
        segments: segments that it takes the place of.
    """

    head: tuple[Block, ...]
    segments: tuple[Segment, ...]

    @property
    def blocks(self) -> list[Block]:
        """All sources."""
        return [*(segment.block for segment in self.segments), *self.head]

    def died_since(self, current: Sequence[Block]) -> NDArray[np.int64]:
        """Return the versions that were alive and are dead in `current`, the sources as they are now; ascending."""
        died = [
            then.internal_ids[then.live & ~now.live[: len(then)]]
            for then, now in zip(self.blocks, current, strict=True)
        ]
        return np.sort(np.concatenate(died))


def choose_seal(head: Head, seal_threshold: int) -> Rebuild | None:
    """Return what makes a segment of the oldest rows of a head that has as many as make it full, or None.

    A head that grew further meanwhile becomes several segments: of few rows a graph is built faster than of many, and searches wait for it.
    """
    return Rebuild(head.close_chunks(seal_threshold), ()) if head.live >= seal_threshold else None


def choose_rebuild(segments: Sequence[Segment], seal_threshold: int, index: IndexConfig | None) -> Rebuild | None:
    """Return the most urgent rebuild of the segments of a partition, or None.

    Args:
        segments: all of them.
        seal_threshold: rows that make the head full.
        index: what the collection is to be searched by; None for the default.
    """
    for segment in segments:
        if segment.block.dead > DEAD_SHARE * len(segment.block) or is_outdated(segment, index):
            return Rebuild((), (segment,))
    tiers: dict[int, list[Segment]] = defaultdict(list)
    for segment in segments:
        tiers[_tier(len(segment.block), seal_threshold)].append(segment)
    for _, tier in sorted(tiers.items()):
        if len(tier) >= MERGED_SEGMENTS:
            return Rebuild((), tuple(tier))
    return None


def is_outdated(segment: Segment, index: IndexConfig | None) -> bool:
    """Return whether building the segment anew would give it another index than it has."""
    has = build_settings(_parameters(segment).index)
    wanted = build_settings(index or DEFAULT_INDEX)
    if has == wanted:
        return False
    block = segment.block
    # What would stay flat, because it is small for instance, must not be built anew for ever.
    return has != buildable(wanted, block.norms[block.live] if block.dead else block.norms)


def choose_quiet_merge(head: Head, segments: Sequence[Segment]) -> Rebuild | None:
    """Return the merge that leaves fewest segments for its work, or else builds a draft anew, for a partition that is not written to.

    A head that belongs into it is sealed first and merged at the next pause: a merge of large segments takes long, and where it held on to
    the head, whoever began to write again would wait for all of it.
    """
    ordered = sorted(segments, key=lambda segment: len(segment.block), reverse=True)
    for position, segment in enumerate(ordered):
        smaller = head.live + sum(len(other.block) for other in ordered[position + 1 :])
        if smaller and smaller >= QUIET_SHARE * len(segment.block):
            return Rebuild(head.close_chunks(head.live), ()) if head.live else Rebuild((), tuple(ordered[position:]))
    draft = next((segment for segment in ordered if _parameters(segment).draft), None)
    return None if draft is None else Rebuild((), (draft,))


def build_segment(
    rebuild: Rebuild,
    namespace: str,
    spec: CollectionSpec,
    directory: Path,
    steps: BuildSteps,
    *,
    drafts: bool,
) -> Segment | None:
    """Build and write the segment of a rebuild; None if no row of it was alive. Runs for long, off the event loop.

    With `drafts` a head becomes a draft.

    Raises:
        BuildStoppedError: as build_index. OSError: the file cannot be written.
    """
    if steps.stopped():
        raise BuildStoppedError
    rows = [np.flatnonzero(block.live) for block in rebuild.blocks]
    internal_ids = _joined([block.internal_ids for block in rebuild.blocks], rows)
    if not len(internal_ids):
        return None
    order = np.argsort(internal_ids, kind="stable")
    internal_ids = internal_ids[order]
    vectors = _ordered_vectors(rebuild.blocks, rows, order)
    norms = squared_norms(vectors)
    record_ids = [
        block.record_ids[row] for block, chosen in zip(rebuild.blocks, rows, strict=True) for row in chosen.tolist()
    ]
    parameters, index = _built(vectors, norms, spec, steps, draft=drafts and bool(rebuild.head))
    if index is not None and not index.quantized:
        vectors = graph_vectors(index.raw)  # the graph's own copy, so that there is one
    contents = SegmentContents(parameters.index.kind, internal_ids, vectors, norms, index.raw if index else None)
    row = _write(contents, namespace, parameters, directory)
    if index is not None and index.quantized:
        vectors = mapped_vectors(segment_path(directory, row.uuid), contents)
    live = np.ones(len(internal_ids), np.bool_)
    ids = PackedIds.of([record_ids[at] for at in order.tolist()])
    return Segment(row, Block(internal_ids, ids, vectors, norms, live, 0, index))


def _built(
    vectors: FloatMatrix, norms: FloatVector, spec: CollectionSpec, steps: BuildSteps, *, draft: bool
) -> tuple[SegmentParameters, SegmentIndex | None]:
    """Return what vectors in index form are searched by, and how it was built; a draft where that is asked for and differs."""
    settings = buildable(spec.index or DEFAULT_INDEX, norms)
    if isinstance(settings, FlatIndex):
        return SegmentParameters(settings, 0), None
    draft = draft and is_drafted(settings)
    index = build_index(vectors, spec.metric, settings, steps, draft=draft)
    return SegmentParameters(settings, index.breadth, draft), index


def _write(contents: SegmentContents, namespace: str, parameters: SegmentParameters, directory: Path) -> SegmentRow:
    name = uuid.uuid4().hex
    checksum = write_segment(segment_path(directory, name), contents)
    row = SegmentRow(
        uuid=name,
        namespace=namespace,
        kind=contents.kind,
        parameters=parameters.encode(),
        count=len(contents.internal_ids),
        checksum=checksum,
        first_internal_id=int(contents.internal_ids[0]),
        last_internal_id=int(contents.internal_ids[-1]),
        file_version=FILE_VERSION,
    )
    return replace(row, checksum=manifest_checksum(checksum, row))


def _parameters(segment: Segment) -> SegmentParameters:
    return SegmentParameters.decode(segment.row.parameters)


def _tier(rows: int, seal_threshold: int) -> int:
    return int(math.log(max(rows / seal_threshold, 1), MERGED_SEGMENTS))


def _ordered_vectors(blocks: Sequence[Block], rows: Sequence[NDArray[np.intp]], order: NDArray[np.intp]) -> FloatMatrix:
    """Return the chosen rows of the blocks one after another, in this order; what is copied beside the result is small."""
    places = np.empty_like(order)
    places[order] = np.arange(len(order))
    vectors = np.empty((len(order), blocks[0].vectors.shape[1]), np.float32)
    begin = 0
    for block, chosen in zip(blocks, rows, strict=True):
        for first in range(0, len(chosen), COPIED_ROWS):
            some = chosen[first : first + COPIED_ROWS]
            vectors[places[begin : begin + len(some)]] = block.vectors[some]
            begin += len(some)
    return vectors


def _joined(columns: Sequence[NDArray[Any]], rows: Sequence[NDArray[np.intp]]) -> NDArray[Any]:
    return np.concatenate([column[chosen] for column, chosen in zip(columns, rows, strict=True)])
