"""Encode WordNet definitions into the file that `--conformance-records` takes: `python tests/conformance/wordnet_records.py FILE`.

The definitions are read from VECGATE_TEST_DATA, or ../shared/data beside the repository, and encoded with all-MiniLM-L6-v2 on
sentence-transformers. A file that is there is kept, so that the encoding runs once.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np

REPOSITORY = Path(__file__).resolve().parents[2]
MODEL = "all-MiniLM-L6-v2"
SEED = 4


def synsets(folder: Path, count: int) -> list[dict[str, Any]]:
    """Draw synsets, in an order that the seed fixes."""
    path = folder / "wordnet" / "synsets.jsonl.gz"
    if not path.is_file():
        sys.exit(f"{path} is missing; VECGATE_TEST_DATA names the folder of larger data")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return random.Random(SEED).sample(rows, count)


def encode(texts: list[str]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return one vector of length 1 a text, shape (texts, 384)."""
    from sentence_transformers import SentenceTransformer

    from vecgate_server.encoders.locate import locate

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
    folder = Path(os.environ.get("VECGATE_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
    write(arguments.file, folder, arguments.records, arguments.queries)


if __name__ == "__main__":
    main()
