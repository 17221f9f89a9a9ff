"""The commands verify and backup: the files of a Faiss store, without a server."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vecgate_backends.errors import ConfigurationError, StoreLockedError, VecgateError
from vecgate_server.exit_codes import FAILED, INTERRUPTED, WRONG_USE, end

if TYPE_CHECKING:
    from vecgate_backends.faiss.verification import CollectionReport, StoreReport

NAMESPACES_SHOWN = 20

directory = click.Path(path_type=Path)


@click.command(short_help="Check a Faiss store that no server has open.")
@click.argument("path", type=directory)
@click.option("--json", "as_json", is_flag=True, help="Print all that was found as one JSON object.")
def verify(path: Path, as_json: bool) -> None:
    """Check the store of the Faiss backend in the directory PATH, which no server may have open; nothing is changed.

    Exit code 0 if all records are as they were written, also if derived files are damaged, which the next start builds anew; 1 if
    the truth is damaged; 2 if it could not be checked.
    """
    try:
        from vecgate_backends.faiss.verification import verify_store  # noqa: PLC0415  # an extra, and slow to load

        report = verify_store(path)
    except ModuleNotFoundError as missing:
        end(WRONG_USE, _extra_needed(missing))
    except (ConfigurationError, StoreLockedError) as refused:
        end(WRONG_USE, str(refused))
    except KeyboardInterrupt:
        end(INTERRUPTED, "interrupted")
    click.echo(json.dumps(_plain(report), ensure_ascii=False) if as_json else "\n".join(_lines(report)))
    raise SystemExit(0 if report.sound else FAILED)


@click.command(short_help="Copy a Faiss store, also while it is served.")
@click.argument("path", type=directory)
@click.argument("destination", type=directory)
@click.option("--no-index", is_flag=True, help="Leave the index out; a server that opens the copy builds it anew.")
@click.option("--no-verify", is_flag=True, help="Do not check the copy; `verify` can do that later.")
def backup(path: Path, destination: Path, no_index: bool, no_verify: bool) -> None:
    """Copy the store of the Faiss backend in the directory PATH to the new directory DESTINATION, also while a server has it open.

    The copy is a store like any other: name it in `backends.faiss.options.path` to serve it. Exit code 1 if no backup was made, 2 if
    it could not be begun.
    """
    try:
        from vecgate_backends.faiss.backup import backup_store  # noqa: PLC0415  # an extra, and slow to load

        report = backup_store(path, destination, with_segments=not no_index, checked=not no_verify)
    except ModuleNotFoundError as missing:
        end(WRONG_USE, _extra_needed(missing))
    except ConfigurationError as refused:
        end(WRONG_USE, str(refused))
    except VecgateError as failed:
        end(FAILED, failed.message)
    except KeyboardInterrupt:
        end(INTERRUPTED, "interrupted, and no backup was made")
    found = "not verified" if report is None else f"verified: {_contents(report.collections)}"
    click.echo(f"{destination}: a backup of {path}, {found}")


def _plain(report: StoreReport) -> dict[str, object]:
    """Return a report in the terms of JSON."""
    return {
        "path": str(report.path),
        "sound": report.sound,
        "damage": asdict(report.damage),
        "remarks": list(report.remarks),
        "collections": [asdict(collection) for collection in report.collections],
    }


def _lines(report: StoreReport) -> Iterator[str]:
    """Yield a report as lines for people."""
    rows = [("COLLECTION", "NAMESPACE", "RECORDS"), *(row for each in report.collections for row in _rows(each))]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for name, namespace, count in rows if report.collections else ():
        yield f"{name:<{widths[0]}}  {namespace:<{widths[1]}}  {count:>{widths[2]}}"
    for collection in report.collections:
        for sentence in collection.derived:
            yield f"{collection.name}: derived: {sentence}"
    yield from report.remarks
    yield from _damage_lines("", report.damage.sentences, report.damage.count)
    for collection in report.collections:
        yield from _damage_lines(f"{collection.name}: ", collection.damage.sentences, collection.damage.count)
    verdict = "sound" if report.sound else "DAMAGED"
    yield f"{report.path} is {verdict}: {_contents(report.collections)}"


def _rows(collection: CollectionReport) -> Iterator[tuple[str, str, str]]:
    """Yield the largest namespaces of a collection, and the others as one."""
    sizes = sorted(collection.records.items(), key=lambda item: (-item[1], item[0]))
    shown, others = sizes[:NAMESPACES_SHOWN], sizes[NAMESPACES_SHOWN:]
    for namespace, count in shown or [("", 0)]:
        yield collection.name, f'"{namespace}"', f"{count:,}"
    if others:
        yield collection.name, f"{len(others):,} others", f"{sum(count for _, count in others):,}"


def _damage_lines(where: str, sentences: Sequence[str], count: int) -> Iterator[str]:
    for sentence in sentences:
        yield f"{where}{sentence}"
    if count > len(sentences):
        yield f"{where}and {_counted(count - len(sentences), 'fault')} more"


def _contents(collections: Sequence[CollectionReport]) -> str:
    records = sum(sum(collection.records.values()) for collection in collections)
    return f"{_counted(len(collections), 'collection')}, {_counted(records, 'record')}"


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def _extra_needed(missing: ModuleNotFoundError) -> str:
    return f"this needs {missing.name}, which is not installed: pip install 'vecgate[faiss]'"
