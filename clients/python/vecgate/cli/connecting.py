"""How the command line reaches a server: the options of the connection, before or after the command, and their variables."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from vecgate.channel import DEFAULT_TARGET
from vecgate.cli.faults import InputFault
from vecgate.client import Client
from vecgate.errors import InvalidArgumentError
from vecgate.security import TlsOptions

Command = TypeVar("Command", bound=Callable[..., Any])

CONNECTION_OPTIONS: Mapping[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "target": (("--target", "-t"), {"metavar": "TARGET", "help": "Address of the server, host:port."}),
    "tls": (("--tls",), {"is_flag": True, "help": "Connect with TLS; so does each of the four that follow."}),
    "tls_ca": (("--tls-ca",), {"metavar": "FILE", "help": "CAs to trust, PEM; default: the public ones."}),
    "tls_certificate": (("--tls-certificate",), {"metavar": "FILE", "help": "The client's own certificate, PEM."}),
    "tls_key": (("--tls-key",), {"metavar": "FILE", "help": "Private key of that certificate, PEM."}),
    "tls_server_name": (("--tls-server-name",), {"metavar": "NAME", "help": "Name in the server's certificate."}),
    "api_key": (("--api-key",), {"metavar": "KEY", "help": "API key; a variable is not seen by others, unlike this."}),
    "api_key_file": (("--api-key-file",), {"metavar": "FILE", "help": "File that holds the API key."}),
    "allow_plaintext_api_key": (
        ("--allow-plaintext-api-key",),
        {"is_flag": True, "help": "Send the key without TLS, also beyond this machine."},
    ),
}
"""Name of an option of the connection → how it is written, and what click is told of it."""
TLS_PARTS = ("ca", "certificate", "key", "server_name")

ARGUMENTS = {
    **{f"tls.{part}": f"--tls-{part.replace('_', '-')}" for part in TLS_PARTS},
    "allow_plaintext_api_key": "--allow-plaintext-api-key",
    "api_key": "--api-key",
}
"""Argument of the client, as its errors name it → the option that gives it."""
ARGUMENT = re.compile("|".join(rf"\b{re.escape(name)}\b" for name in ARGUMENTS))


def with_root_connection(command: Command) -> Command:
    """Give the root command the options of the connection; each is also read from its variable, VECGATE_ and its name."""
    for name, (flags, told) in reversed([*CONNECTION_OPTIONS.items()]):
        default: dict[str, Any] = {"default": DEFAULT_TARGET, "show_default": True} if name == "target" else {}
        command = click.option(*flags, name, envvar=f"VECGATE_{name.upper()}", show_envvar=True, **default, **told)(
            command
        )
    return command


def with_connection(command: Command) -> Command:
    """Take the options of the connection after a command as well; its help lists the target alone."""
    for name, (flags, told) in reversed([*CONNECTION_OPTIONS.items()]):
        command = click.option(*flags, name, hidden=name != "target", **told)(command)
    return command


def connect(context: click.Context) -> Client:
    """Make the client of a command.

    Args:
        context: the command's; what does not stand after the command is taken from before it.

    Raises:
        InputFault: the options cannot be used together, or a file cannot be read.
    """
    given, root = context.params, context.find_root().params
    chosen: dict[str, Any] = {name: given.get(name) or root.get(name) for name in CONNECTION_OPTIONS}
    parts = {part: chosen[f"tls_{part}"] for part in TLS_PARTS if chosen[f"tls_{part}"]}
    try:
        return Client(
            chosen["target"],
            tls=TlsOptions(**parts) if parts else bool(chosen["tls"]),
            api_key=_api_key(chosen["api_key"], chosen["api_key_file"]),
            allow_plaintext_api_key=bool(chosen["allow_plaintext_api_key"]),
        )
    except InvalidArgumentError as refused:
        raise InputFault(_in_options(refused.message)) from None


def _api_key(key: str | None, file: str | None) -> str | None:
    """Return the key of the options; of a file, without the end of its line.

    Raises:
        InputFault: both are given, or the file cannot be read.
    """
    if file is None:
        return key
    if key is not None:
        raise InputFault("--api-key and --api-key-file are both given, here or by their variables; leave one out")
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except OSError as fault:
        raise InputFault(f"--api-key-file: {file}: {fault.strerror or fault}") from None
    except UnicodeDecodeError:
        raise InputFault(f"--api-key-file: {file}: not a text file in UTF-8") from None


def _in_options(message: str) -> str:
    """Return what the client says of its arguments, said of the options that they come from."""
    return ARGUMENT.sub(lambda found: ARGUMENTS[found[0]], message)
