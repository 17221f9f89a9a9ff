"""Failures as one line for people, with what to do next, and an exit status for scripts."""

from __future__ import annotations

import click

from vecgate.errors import VecgateError
from vecgate.handshakes import DROPPED_HINTS

EXIT_SERVER = 1
EXIT_INPUT = 2
EXIT_REFUSED = 3
EXIT_INTERRUPTED = 130

HINTS = {
    "BACKEND_NOT_FOUND": "vecgate info names the backends",
    "CLIENT_OUTDATED": "pip install --upgrade vecgate",
    "COLLECTION_EXISTS": "--exist-ok takes an existing one of the same settings",
    "COLLECTION_NOT_FOUND": "vecgate collections list shows what there is",
    "COLLECTION_UNBOUND": "this collection takes vectors, not texts",
    "DEADLINE_EXCEEDED": "is the server overloaded or still loading its model?",
    "FILTER_SYNTAX": 'a filter looks like this: section = "games" AND year >= 2000',
    "INDEX_UNSUPPORTED": "vecgate info tells what each backend builds",
    "MODEL_MISMATCH": "vecgate models and vecgate collections show --json tell fingerprints",
    "MODEL_NOT_FOUND": "vecgate info names the models",
    "PERMISSION_DENIED": "it takes another key, which whoever keeps the server makes",
    "TLS_NAME": "--tls-server-name gives the name in the server's certificate",
    "TLS_NOT_SPOKEN": "leave out --tls",
    "TLS_REFUSED": "--tls-certificate and --tls-key give the client's own",
    "TLS_UNTRUSTED": "--tls-ca gives the CA",
    "UNAUTHENTICATED": "--api-key-file or VECGATE_API_KEY gives a key",
    "UNAVAILABLE": "start a server with vecgate-server, or name another with --target",
}
"""Machine reason of an error → what to do about it."""

HANG_UP_HINTS = {
    DROPPED_HINTS[False]: "--tls does so, or --tls-ca with a CA of your own",
    DROPPED_HINTS[True]: HINTS["TLS_REFUSED"],
}
"""What the message of a connection that was hung up supposes → the options for that; a server is there, so none need be started."""


class InputFault(click.ClickException):
    """Input that cannot be used: a file, a line, a combination of options. One sentence, and maybe a hint."""

    exit_code = EXIT_INPUT

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class Interrupted(click.ClickException):
    """Ctrl-C, where there is something to say about what was done."""

    exit_code = EXIT_INTERRUPTED


def fault_line(failure: Exception) -> str | None:
    """Return the line for a failure, or None for one that is a fault of this program."""
    match failure:
        case VecgateError():
            return _line(str(failure), _hint(failure), *_notes(failure))
        case InputFault():
            return _line(failure.message, failure.hint, *_notes(failure))
        case click.ClickException():
            return _line(failure.format_message())
        case OSError():
            return _line(f"{failure.filename or 'input or output'}: {failure.strerror or failure}", *_notes(failure))
        case _:
            return None


def exit_status(failure: Exception) -> int:
    """Return the exit status of a failure that has a line."""
    if isinstance(failure, VecgateError):
        return EXIT_SERVER
    return EXIT_INTERRUPTED if isinstance(failure, Interrupted) else EXIT_INPUT


def _hint(failure: VecgateError) -> str:
    hang_ups = (hint for supposed, hint in HANG_UP_HINTS.items() if supposed in str(failure))
    return next(hang_ups, HINTS.get(failure.reason, ""))


def _notes(failure: Exception) -> list[str]:
    return getattr(failure, "__notes__", [])


def _line(*parts: str) -> str:
    return "error: " + "; ".join(" ".join(part.split()) for part in parts if part)
