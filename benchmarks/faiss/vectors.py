"""The vectors that are searched: real texts, encoded once and kept outside the repository."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from benchmarks.datasets import read_lines, required_file
from benchmarks.server import serving

SEED = 11
QUERIES = 1_000
TEXTS_A_CALL = 4_096
CATEGORIES_FILE = "real-vectors-1.npz"

FloatMatrix = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class RealVectors:
    """Vectors of WordNet definitions and Debian package titles, shuffled; the queries are none of the records.

    Attributes:
        records: float32 of length 1, shape (records, 384).
        queries: the same, shape (QUERIES, 384).
        categories: the category of the definition or the section of the package, one a record.
    """

    records: FloatMatrix
    queries: FloatMatrix
    categories: NDArray[np.str_]

    def first(self, count: int) -> RealVectors:
        """Return the first records with all queries."""
        return RealVectors(self.records[:count], self.queries, self.categories[:count])


def cache_folder() -> Path:
    """Return where encoded vectors are kept: vecgate in the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "vecgate"


def real_vectors(folder: Path) -> RealVectors:
    """Read the vectors, encoding them if that was not done before: some ten minutes on two cores.

    Args:
        folder: the folder of larger data.

    Raises:
        DatasetMissingError: a file is not in the folder.
    """
    file = cache_folder() / CATEGORIES_FILE
    if not file.is_file():
        _encode(folder, file)
    with np.load(file) as kept:
        vectors, categories = kept["vectors"], kept["categories"]
    return RealVectors(vectors[QUERIES:], vectors[:QUERIES], categories[QUERIES:])


def _encode(folder: Path, file: Path) -> None:
    synsets = read_lines(required_file(folder / "wordnet" / "synsets.jsonl.gz"))
    packages = read_lines(required_file(folder / "debian_packages" / "packages.jsonl.gz"))
    texts = [(row["text"], row["metadata"]["category"]) for row in synsets]
    texts += [(row["title"], row["metadata"]["section"]) for row in packages]
    order = np.random.default_rng(SEED).permutation(len(texts))
    file.parent.mkdir(parents=True, exist_ok=True)
    with (
        TemporaryDirectory(prefix="vecgate-bench-") as work,
        serving(Path(work), encoder={"cache_mib": 0}) as server,
        server.client() as client,
    ):
        shuffled = [texts[at][0] for at in order.tolist()]
        parts = []
        for begin in range(0, len(shuffled), TEXTS_A_CALL):
            parts.append(client.encode(shuffled[begin : begin + TEXTS_A_CALL], "document").vectors)
            print(f"encoded {begin + len(parts[-1])} of {len(shuffled)} texts", flush=True)
    unfinished = file.with_suffix(".unfinished.npz")
    np.savez(unfinished, vectors=np.concatenate(parts), categories=np.array([texts[at][1] for at in order.tolist()]))
    unfinished.replace(file)
