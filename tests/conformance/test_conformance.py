"""The backends that come with vecgate, under the suite that it ships."""

from __future__ import annotations

from pathlib import Path

from vecgate_backends.conformance import *  # noqa: F403  # the tests are adopted whole
from vecgate_backends.conformance import Case
from vecgate_backends.contract import Backend
from vecgate_backends.faiss import FaissBackend, FaissOptions
from vecgate_backends.memory import MemoryBackend, MemoryOptions
from vecgate_backends.records import FlatIndex, HnswIndex, IvfIndex, Quantization


def memory(directory: Path) -> Backend:
    del directory  # it keeps no files
    return MemoryBackend(MemoryOptions())


def faiss(directory: Path) -> Backend:
    # So small a threshold that a handful of records makes segments, and the larger tests merge them.
    return FaissBackend(FaissOptions(path=directory, seal_threshold=16))


def faiss_by_default(directory: Path) -> Backend:
    return FaissBackend(FaissOptions(path=directory))


CASES = [
    Case("memory", memory, reopenable=False),
    Case("faiss-flat", faiss, index=FlatIndex(), settle=FaissBackend.settle),
    Case("faiss-hnsw", faiss, index=HnswIndex(), settle=FaissBackend.settle),
    Case("faiss-ivf", faiss, index=IvfIndex(), settle=FaissBackend.settle),
    Case("faiss-sq8", faiss, index=HnswIndex(quantization=Quantization.SCALAR8), settle=FaissBackend.settle),
    Case("faiss-auto", faiss_by_default, settle=FaissBackend.settle),
]
