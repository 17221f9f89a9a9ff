"""Long texts in pieces that the model reads whole: one record a piece, which names the record it is of and the place there.

Where to cut is semchunk's to say: at the largest breaks there are, paragraphs before sentences before words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vecgate.cli.faults import InputFault
from vecgate.cli.token_counting import SPECIAL_TOKENS, TokenCounter, estimated_tokens, tokenizer_counter
from vecgate.client import Client
from vecgate.errors import InvalidArgumentError
from vecgate.records import Record
from vecgate.server_info import ModelInfo, ModelState

WHOLE_MODEL = "max"
"""As a size: as much as the model reads."""
PARENT, NUMBER, COUNT, START, END = "chunk_of", "chunk", "chunk_count", "chunk_start", "chunk_end"
"""Metadata of a piece: the id of the record it is of, which piece it is (from 0) of how many, its characters there."""


@dataclass(frozen=True, slots=True)
class ChunkOptions:
    """What the command line says about pieces.

    Attributes:
        size: tokens of a piece at most; WHOLE_MODEL: what the model reads.
        overlap: tokens that two neighbours have in common, about.
        tokenizer: a tokenizer.json to count with; None: by estimate.
    """

    size: int | str
    overlap: int
    tokenizer: Path | None


class Chunker:
    """Cuts the texts of records."""

    def __init__(self, size: int, overlap: int, count: TokenCounter) -> None:
        self._size = size
        self._overlap = overlap
        self._count = count
        self._semchunk = _load_semchunk()

    def pieces(self, record: Record) -> list[Record]:
        """Return the pieces of a record, at least one, with ids "id#0", "id#1", …; what has a vector, or no text, stays whole.

        Raises:
            InvalidArgumentError: its metadata has a field of a name that the pieces need; ROW.
        """
        if record.vector is not None or record.text is None:
            return [record]
        if taken := {PARENT, NUMBER, COUNT, START, END} & record.metadata.keys():
            raise InvalidArgumentError.at(min(taken), "chunking makes a field of that name too", reason="ROW")
        spans = self._spans(record.text)
        return [
            Record(
                id=f"{record.id}#{number}",
                text=record.text[start:end],
                metadata={
                    **record.metadata, PARENT: record.id, NUMBER: number, COUNT: len(spans), START: start, END: end,
                },
            )
            for number, (start, end) in enumerate(spans)
        ]  # fmt: skip

    def _spans(self, text: str) -> list[tuple[int, int]]:
        # Its own memory of counted texts would grow with the file.
        _, spans = self._semchunk.chunk(
            text, self._size, self._count, memoize=False, offsets=True, overlap=self._overlap or None
        )
        return spans or [(0, len(text))]


def chunker_for(options: ChunkOptions, client: Client, model: str | None) -> Chunker:
    """Make the chunker for texts that a model encodes.

    Args:
        options: what was asked for.
        client: asks the server what the model reads.
        model: its name; None: nothing encodes them, so there is no bound.

    Raises:
        InputFault: a piece would be longer than the model reads, an extra is missing, or the size is unknown.
    """
    count = estimated_tokens if options.tokenizer is None else tokenizer_counter(options.tokenizer)
    room = None if model is None else _room(_loaded(client, model), count)
    if options.size == WHOLE_MODEL and room is None:
        raise InputFault("--chunk-tokens max: the collection has no model", "give a number of tokens")
    size = room if options.size == WHOLE_MODEL else options.size
    if not isinstance(size, int) or (room is not None and size > room):
        raise InputFault(f"--chunk-tokens {size}: {model} reads {room} tokens of a text", f"give {room} or less")
    if options.overlap >= size:
        raise InputFault(f"--chunk-overlap {options.overlap} is not less than a chunk of {size} tokens")
    return Chunker(size, options.overlap, count)


def _room(model: ModelInfo, count: TokenCounter) -> int:
    return model.max_tokens - SPECIAL_TOKENS - count(model.document_prompt)


def _loaded(client: Client, name: str) -> ModelInfo:
    """Describe a model; one that was not loaded yet is, since only then it is known how much it reads."""
    for _ in range(2):
        models: Mapping[str, ModelInfo] = {model.name: model for model in client.list_models()}
        if name in models and models[name].state is ModelState.READY:
            return models[name]
        client.encode([""], "document", model=name)
    raise InputFault(f"the server does not say how many tokens {name} reads", "give --chunk-tokens a number")


def _load_semchunk() -> Any:
    try:
        import semchunk  # noqa: PLC0415  # an extra, needed for chunking only
    except ModuleNotFoundError as missing:
        raise InputFault("chunking needs semchunk", "pip install 'vecgate[chunking]'") from missing
    return semchunk
