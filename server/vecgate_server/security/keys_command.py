"""The command `vecgate-server keys`: API keys made, listed and revoked, in the file that servers read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from vecgate_backends.errors import ConfigurationError
from vecgate_server.config import load_settings
from vecgate_server.config_faults import InvalidSettingsError, describe_fault
from vecgate_server.config_option import config_option
from vecgate_server.exit_codes import FAILED, WRONG_USE, end
from vecgate_server.security.api_key import KEY, hash_of, new_key
from vecgate_server.security.file_replacement import alone
from vecgate_server.security.keys_file import Entries, KeyEntry, KeysFileError, read_keys, write_keys

DURATION = re.compile(r"(\d{1,6})([hdw])")
UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
OPTIONS = {
    "namespace": "--namespace",
    "collections": "--collection",
    "description": "--description",
    "max_calls": "--max-calls",
    "requests_per_second": "--requests-per-second",
    "tokens_per_second": "--tokens-per-second",
}
OWN_LIMITS = {
    "max_calls": "calls at once",
    "requests_per_second": "requests a second",
    "tokens_per_second": "tokens a second",
}

file_option = click.option(
    "--file", "file", type=click.Path(path_type=Path), help="The file. Default: security.keys_file of the settings."
)


@click.group(short_help="Make, list and revoke API keys.")
def keys() -> None:
    """Make, list and revoke API keys, in the file that servers read as security.keys_file and read again when it changes."""


@keys.command()
@file_option
@config_option
@click.option(
    "--scope", type=click.Choice(["read", "write", "admin"]), required=True, help="Each includes those before it."
)
@click.option(
    "--collection", "collections", multiple=True, metavar="NAME", help="Only these; *: any characters. Repeat."
)
@click.option("--namespace", metavar="NAME", help="Only this one, in every call; '' is the default namespace.")
@click.option("--expires", metavar="WHEN", help="A time such as 2027-01-31T00:00Z, or from now: 12h, 90d, 52w.")
@click.option("--description", default="", metavar="TEXT", help="What the key is for.")
@click.option("--max-calls", type=int, metavar="N", help="Calls at once, instead of the configuration's.")
@click.option("--requests-per-second", type=float, metavar="N", help="Likewise.")
@click.option("--tokens-per-second", type=float, metavar="N", help="Tokens encoded, likewise.")
@click.pass_context
def create(
    context: click.Context, /, file: Path | None, config: Path | None, expires: str | None, **given: Any
) -> None:
    """Make a key, add its hash to the file (which is made if need be), and print the key: this once, and never again."""
    path = _path(context, file, config)
    identifier, key = new_key()
    try:
        entry = KeyEntry(
            id=identifier,
            hash=hash_of(key),
            created=datetime.now(UTC).replace(microsecond=0),
            expires=_moment(expires) if expires else None,
            **{name: value for name, value in given.items() if value not in (None, ())},
        )
    except ValidationError as invalid:
        end(WRONG_USE, _in_options(describe_fault(invalid, KeyEntry, secret=True)))
    with _changing(path, may_be_new=True) as entries:
        write_keys(path, {**entries, identifier: entry})
    click.echo(key)
    click.echo(f"vecgate-server: {path} has the key {identifier} ({_rights(entry)}); it is shown this once", err=True)


@keys.command("list")
@file_option
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@click.pass_context
def list_keys(context: click.Context, file: Path | None, config: Path | None, as_json: bool) -> None:
    """List the keys: what each may do and whether it counts; no hash."""
    path = _path(context, file, config)
    try:
        entries = read_keys(path)
    except KeysFileError as fault:
        end(FAILED, str(fault))
    for entry in entries.values():
        if as_json:
            shown = {**entry.model_dump(mode="json", exclude={"hash"}), "state": entry.state}
            click.echo(json.dumps(shown, ensure_ascii=False))
        else:
            ends = f", expires {entry.expires.isoformat()}" if entry.expires else ""
            click.echo("  ".join(filter(None, (entry.id, entry.state, _rights(entry) + ends, entry.description))))


@keys.command()
@file_option
@config_option
@click.argument("identifiers", nargs=-1, required=True, metavar="ID...")
@click.pass_context
def revoke(context: click.Context, file: Path | None, config: Path | None, identifiers: tuple[str, ...]) -> None:
    """End keys for good: every server refuses them once it has read the file again. Their entries stay, so that logs can be read.

    An ID is what `list` shows, or a whole key, of which only the id is shown again.
    """
    path = _path(context, file, config)
    identifiers = tuple(whole["id"] if (whole := KEY.fullmatch(each)) else each for each in identifiers)
    with _changing(path) as entries:
        if unknown := [each for each in identifiers if each not in entries]:
            end(WRONG_USE, f"{path} has no key {', '.join(map(repr, unknown))}; `vecgate-server keys list` tells ids")
        now = datetime.now(UTC).replace(microsecond=0)
        ended = {
            each: entries[each].model_copy(update={"revoked": entries[each].revoked or now}) for each in identifiers
        }
        write_keys(path, {**entries, **ended})
    click.echo(f"revoked: {', '.join(identifiers)}")


def _path(context: click.Context, file: Path | None, config: Path | None) -> Path:
    if file is not None:
        return file
    try:
        path = load_settings(config or context.find_root().obj).security.keys_file
    except InvalidSettingsError as fault:
        end(WRONG_USE, str(fault))
    return path or end(WRONG_USE, "which file? --file names it, or security.keys_file in the settings of --config")


@contextmanager
def _changing(path: Path, *, may_be_new: bool = False) -> Iterator[Entries]:
    """Read the keys, with nobody else changing them for the duration of the block."""
    try:
        with alone(path):
            yield {} if may_be_new and not path.exists() else read_keys(path)
    except ConfigurationError as fault:
        end(FAILED, str(fault))
    except OSError as fault:
        end(FAILED, f"{path}: {fault.strerror or fault}")


def _moment(written: str) -> datetime:
    """Read a time of the calendar, or one from now.

    Raises:
        click.BadParameter: it is none, or is over.
    """
    now = datetime.now(UTC).replace(microsecond=0)
    if found := DURATION.fullmatch(written):
        moment = now + int(found[1]) * UNITS[found[2]]
    else:
        try:
            moment = datetime.fromisoformat(written)
        except ValueError:
            raise click.BadParameter(
                f"{written!r} is no time such as 2027-01-31T00:00Z or 90d", param_hint="--expires"
            ) from None
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if moment <= now:
        raise click.BadParameter(f"{written!r} is over", param_hint="--expires")
    return moment


def _rights(entry: KeyEntry) -> str:
    where = "all collections" if entry.collections == ("*",) else f"collections {', '.join(entry.collections)}"
    namespace = f", namespace {entry.namespace!r}" if entry.namespace is not None else ""
    own = ((what, getattr(entry, name)) for name, what in OWN_LIMITS.items())
    return f"{entry.scope}, {where}{namespace}" + "".join(f", {limit:.15g} {what}" for what, limit in own if limit)


def _in_options(fault: str) -> str:
    name, colon, rest = fault.partition(":")
    field = name.partition("[")[0]
    return f"{OPTIONS[field]}{colon}{rest}" if field in OPTIONS else fault.removeprefix("settings: ")
