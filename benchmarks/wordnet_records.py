"""Encode WordNet definitions into the file that `--conformance-records` takes: `python -m benchmarks.wordnet_records FILE`.

The definitions are read from the folder of larger data and encoded with all-MiniLM-L6-v2 on
sentence-transformers. A file that is there is kept, so that the encoding runs once.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.datasets import DatasetMissingError, data_folder, read_lines
from vecgate_server.encoders.locate import locate

MODEL = "all-MiniLM-L6-v2"
SEED = 4


def synsets(folder: Path, count: int) -> list[dict[str, Any]]:
    """Draw synsets, in an order that the seed fixes.

    Raises:
        DatasetMissingError: the file is not in the folder.
    """
    path = folder / "wordnet" / "synsets.jsonl.gz"
    if not path.is_file():
        raise DatasetMissingError(f"{path} is missing: VECGATE_TEST_DATA names the folder of larger data")
    rows = list(read_lines(path))
    return random.Random(SEED).sample(rows, count)


def encode(texts: list[str]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return one vector of length 1 a text, shape (texts, 384)."""
    # Slow to import, and not needed when the file is there.
    from sentence_transformers import SentenceTransformer  # noqa: PLC0415

    model = SentenceTransformer(str(locate(MODEL).directory), device="cpu")
    vectors = model.encode(texts, batch_size=64, normalize_embeddings=True, show_progress_bar=sys.stderr.isatty())
    return np.ascontiguousarray(vectors, dtype=np.float32)


def write(file: Path, folder: Path, records: int, queries: int) -> None:
    """Encode, and put the file in its place when it is whole."""
    rows = synsets(folder, records + queries)
    vectors = encode([row["text"] for row in rows])
    stored = rows[:records]
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_suffix(".unfinished.npz")
    np.savez(
        unfinished,
        ids=np.array([row["_id"] for row in stored]),
        texts=np.array([row["text"] for row in stored]),
        metadata=np.array([json.dumps(row["metadata"] | {"title": row["title"]}) for row in stored]),
        vectors=vectors[:records],
        queries=vectors[records:],
    )
    unfinished.replace(file)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--queries", type=int, default=200)
    arguments = parser.parse_args()
    if arguments.file.is_file():
        return
    try:
        write(arguments.file, data_folder(), arguments.records, arguments.queries)
    except DatasetMissingError as missing:
        sys.exit(str(missing))


if __name__ == "__main__":
    main()
