"""The options that say what is read, and in which pieces."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path, PurePath
from typing import Any, TypeVar

import click

from vecgate.cli.chunking import WHOLE_MODEL, ChunkOptions
from vecgate.cli.export_sources import export_fault, parquet_settings
from vecgate.cli.sources import FORMATS, Source, source
from vecgate.cli.text_sources import EVERY_FILE, SPLITS, Folder, TextFile

Command = TypeVar("Command", bound=Callable[..., Any])


def _chunk_size(context: click.Context, parameter: click.Parameter, value: str | None) -> int | str | None:
    """Read a number of tokens, or WHOLE_MODEL."""
    if value is None or value == WHOLE_MODEL:
        return value
    if value.isdecimal() and int(value) > 0:
        return int(value)
    raise click.BadParameter(f"{value!r} is neither a number from 1 nor {WHOLE_MODEL!r}.", context, parameter)


def with_source(command: Command) -> Command:
    """Give a command `records`: the Source that FILE and the options beside it name."""

    @click.argument("file", type=click.Path(exists=True, allow_dash=True, readable=True))
    @click.option("--format", "file_format", type=click.Choice(FORMATS), help="Format of FILE; default: by its suffix.")
    @click.option(
        "--split",
        type=click.Choice(list(SPLITS)),
        help="Plain text: what a record is; default: a paragraph, in a folder a file.",
    )
    @click.option(
        "--glob",
        "patterns",
        multiple=True,
        metavar="PATTERN",
        help="A folder: files to read, such as '**/*.md'; repeatable; default: all that are not hidden.",
    )
    @functools.wraps(command)
    def reading(
        *arguments: Any,
        file: str,
        file_format: str | None,
        split: str | None,
        patterns: tuple[str, ...],
        **options: Any,
    ) -> Any:
        return command(*arguments, records=_source(file, file_format, split, patterns), **options)

    return reading  # type: ignore[return-value]  # click calls it with the options of both


def with_chunk_options(command: Command) -> Command:
    """Give a command `chunks`: the ChunkOptions, None without --chunk-tokens."""

    @click.option(
        "--chunk-tokens",
        metavar=f"N|{WHOLE_MODEL}",
        callback=_chunk_size,
        help="Cut longer texts into records of so many tokens; max: what the model reads.",
    )
    @click.option(
        "--chunk-overlap",
        type=click.IntRange(0),
        metavar="N",
        help="Tokens that neighbouring chunks have in common; default: none.",
    )
    @click.option(
        "--tokenizer",
        type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path),
        metavar="PATH",
        help="The model's tokenizer.json, to count tokens exactly; default: an estimate that is rather too high.",
    )
    @functools.wraps(command)
    def chunking(
        *arguments: Any,
        chunk_tokens: int | str | None,
        chunk_overlap: int | None,
        tokenizer: Path | None,
        **options: Any,
    ) -> Any:
        if chunk_tokens is None and (chunk_overlap is not None or tokenizer is not None):
            raise click.UsageError("--chunk-overlap and --tokenizer need --chunk-tokens")
        chunks = None if chunk_tokens is None else ChunkOptions(chunk_tokens, chunk_overlap or 0, tokenizer)
        return command(*arguments, chunks=chunks, **options)

    return chunking  # type: ignore[return-value]  # click calls it with the options of both


def _source(file: str, file_format: str | None, split: str | None, patterns: tuple[str, ...]) -> Source:
    if Path(file).is_dir():
        if file_format not in (None, "txt"):
            raise click.UsageError(f"a folder is read as plain text; index its {file_format} files one by one")
        for pattern in patterns:
            if not pattern or PurePath(pattern).is_absolute() or ".." in PurePath(pattern).parts:
                raise click.UsageError(f"--glob {pattern!r}: give a pattern below the folder, such as '**/*.md'")
        return Folder(file, patterns or EVERY_FILE, split or "file")
    if patterns:
        raise click.UsageError("--glob needs a folder")
    rows = source(file, file_format, FORMATS)
    if rows.file_format == "txt":
        return TextFile(file, split or "paragraph")
    if rows.file_format == "parquet" and parquet_settings(file) is not None:
        raise export_fault(file)
    if split is not None:
        raise click.UsageError(f"--split is for plain text, and {rows.name} is read as {rows.file_format}")
    return rows
