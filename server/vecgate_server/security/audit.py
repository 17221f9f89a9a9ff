"""The audit log: who changed collections or deleted all of a namespace, and which calls were refused.

One JSON object a line, by the logger vecgate_server.audit. It holds names and public ids of keys; no secret, text, vector or record id.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from io import TextIOWrapper
from logging.handlers import WatchedFileHandler
from pathlib import Path

from typing_extensions import override

from vecgate_backends.errors import ConfigurationError
from vecgate_server.calls.caller import Scope, claimed_key
from vecgate_server.calls.observer import CallObserver, EndedCall
from vecgate_server.calls.token_bucket import TokenBucket
from vecgate_server.errors import PermissionDeniedError, TooManyFailedKeysError, UnauthenticatedError
from vecgate_server.security.methods import DEMANDS

AUDIT = "vecgate_server.audit"
REFUSALS = frozenset({UnauthenticatedError.reason, PermissionDeniedError.reason, TooManyFailedKeysError.reason})
REFUSALS_AT_ONCE = 1_000
REFUSALS_PER_SECOND = 50
"""Lines of refused calls; beyond that they are counted, or whoever has no key could fill the disk."""
LONGEST_NAME = 64

log = logging.getLogger(__name__)


class AuditLog(CallObserver):
    """Writes a line of each call that is to be noted."""

    def __init__(self, file: Path | None, clock: Callable[[], float] = time.monotonic) -> None:
        """Open nothing yet; without a file the lines go where the other log records go."""
        self._file = file
        self._refusals = TokenBucket(REFUSALS_AT_ONCE / REFUSALS_PER_SECOND, clock)
        self._refusals.set_rate(REFUSALS_PER_SECOND)
        self._unwritten = 0
        self._log = logging.getLogger(AUDIT)
        self._log.setLevel(logging.INFO)
        self._handler: logging.Handler | None = None

    def open(self) -> None:
        """Open the file, if there is one.

        Raises:
            ConfigurationError: it cannot be written.
        """
        if self._file is not None:
            self._handler = _handler(self._file)
            self._log.addHandler(self._handler)
            self._log.propagate = False

    def close(self) -> None:
        """Close the file; idempotent."""
        handler, self._handler = self._handler, None
        if handler is not None:
            self._log.removeHandler(handler)
            self._log.propagate = True
            handler.close()

    @override
    def ended(self, call: EndedCall) -> None:
        refused = call.reason in REFUSALS
        if not (refused or _changes_much(call)) or (refused and not self._room()):
            return
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "outcome": "refused" if refused else call.code.name,
            "reason": call.reason,
            "method": call.method,
            "collection": _named(call, "collection"),
            "namespace": _named(call, "namespace"),
            "key": call.caller.key,
            "claimed_key": claimed_key.get(),
            "peer": call.peer,
            "request_id": call.request_id,
        }
        if refused and self._unwritten:
            line["refused_calls_not_written"] = str(self._unwritten)
            self._unwritten = 0
        self._log.info("%s", json.dumps({name: value for name, value in line.items() if value}, ensure_ascii=True))

    def _room(self) -> bool:
        if self._refusals.seconds_until(1):
            self._unwritten += 1
            return False
        self._refusals.take(1)
        return True


def _changes_much(call: EndedCall) -> bool:
    demand = DEMANDS.get(call.method)
    if demand is not None and demand.scope is Scope.ADMIN:
        return True
    return (
        call.method == "Delete" and call.request is not None and call.request.selector.all and not call.request.dry_run
    )


def _named(call: EndedCall, what: str) -> str:
    """Return the collection or the namespace that a request names."""
    demand = DEMANDS.get(call.method)
    place = demand.place(call.request) if demand and call.request is not None else None
    field = demand.collection if demand and what == "collection" else what
    return str(getattr(place, field, ""))[:LONGEST_NAME] if field else ""


class _OwnersFileHandler(WatchedFileHandler):
    """Appends to a file that is its owner's alone, also to the one that comes after logrotate took it away."""

    @override
    def _open(self) -> TextIOWrapper:
        return open(self.baseFilename, "a", encoding="utf-8", opener=_owners)  # a Path has no opener

    @override
    def emit(self, record: logging.LogRecord) -> None:
        try:
            super().emit(record)
        except OSError as fault:  # of opening it again
            self._tell(fault)

    @override
    def handleError(self, record: logging.LogRecord) -> None:
        """Tell of a line that could not be written; the call that it is about goes on."""
        self._tell(sys.exception())

    def _tell(self, fault: BaseException | None) -> None:
        log.error("security.audit_file: %s cannot be written: %s", self.baseFilename, fault)


def _owners(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _handler(file: Path) -> logging.Handler:
    try:
        return _OwnersFileHandler(file, encoding="utf-8")
    except OSError as fault:
        raise ConfigurationError(f"security.audit_file: {file}: {fault.strerror or fault}") from None
