"""The folder of larger data, and what is read from it. Nothing of it is copied."""

from __future__ import annotations

import csv
import gzip
import json
import os
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
SEED = 3
# Which of the documents are one line alone; the others are that line and the body.
SHORT_SHARE = 1 / 3


class DatasetMissingError(Exception):
    """A file of the data folder is not there; the message says which and how to name the folder."""


def data_folder() -> Path:
    """Return the folder: VECGATE_TEST_DATA, or ../shared/data beside the repository."""
    return Path(os.environ.get("VECGATE_TEST_DATA", REPOSITORY.parent / "shared" / "data"))


@dataclass(frozen=True, slots=True)
class PackageTexts:
    """Debian package descriptions, all distinct.

    Attributes:
        documents: of mixed length: a third is one line, the others a line and a body.
        queries: short lines of other packages.
    """

    documents: tuple[str, ...]
    queries: tuple[str, ...]


def package_texts(folder: Path, *, documents: int, queries: int) -> PackageTexts:
    """Read Debian package descriptions in an order that the seed fixes.

    Raises:
        DatasetMissingError: the file is not in the folder, or has too few packages.
    """
    packages = list(read_lines(required_file(folder / "debian_packages" / "packages.jsonl.gz")))
    chance = random.Random(SEED)
    chance.shuffle(packages)
    seen: set[str] = set()
    found: list[str] = []
    for package in packages:
        short = len(found) >= documents or chance.random() < SHORT_SHARE
        text = package["title"] if short else f"{package['title']}\n{package['text']}"
        # A line that is the beginning of a document would be another text all the same.
        if text not in seen:
            seen.add(text)
            found.append(text)
        if len(found) == documents + queries:
            return PackageTexts(tuple(found[:documents]), tuple(found[documents:]))
    raise DatasetMissingError(f"{folder} has no {documents + queries} distinct package descriptions")


@dataclass(frozen=True, slots=True)
class SentencePairs:
    """STS-B: pairs of sentences and how alike people find them, 0 to 5."""

    pairs: tuple[tuple[str, str], ...]
    scores: tuple[float, ...]


def sentence_pairs(folder: Path, language: str = "en") -> SentencePairs:
    """Read the test part of STS-B.

    Raises:
        DatasetMissingError: the file is not in the folder.
    """
    path = required_file(folder / "stsb" / f"stsb-{language}-test.csv.gz")
    with gzip.open(path, "rt", encoding="utf-8", newline="") as rows:
        lines = list(csv.reader(rows))
    return SentencePairs(
        tuple((first, second) for first, second, _ in lines), tuple(float(score) for *_, score in lines)
    )


@dataclass(frozen=True, slots=True)
class QuestionSet:
    """XQuAD as retrieval: texts by id, and for each question the ids that answer it, with their gain."""

    documents: Mapping[str, str]
    questions: Mapping[str, str]
    judgments: Mapping[str, Mapping[str, int]]


def question_set(folder: Path, language: str = "en") -> QuestionSet:
    """Read XQuAD.

    Raises:
        DatasetMissingError: a file is not in the folder.
    """
    room = folder / "xquad" / language
    judgments: dict[str, dict[str, int]] = defaultdict(dict)
    (path,) = required_file(room / "qrels").iterdir()
    for line in path.read_text(encoding="utf-8").splitlines()[1:]:
        question, document, score = line.split("\t")
        judgments[question][document] = int(score)
    return QuestionSet(
        documents={
            line["_id"]: f"{line['title']} {line['text']}".strip() for line in read_lines(room / "corpus.jsonl.gz")
        },
        questions={line["_id"]: line["text"] for line in read_lines(room / "queries.jsonl.gz")},
        judgments=judgments,
    )


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Read gzipped JSON lines."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def required_file(path: Path) -> Path:
    """Return a path of the folder of larger data.

    Raises:
        DatasetMissingError: it is not there.
    """
    if not path.exists():
        raise DatasetMissingError(
            f"{path} is missing: the measurements read their texts from a folder of larger data, which "
            "VECGATE_TEST_DATA names (default: ../shared/data beside the repository)"
        )
    return path
