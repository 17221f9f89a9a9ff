"""What protects one server, put together from its settings: the certificate, the keys, the audit log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import grpc

from vecgate_server.calls.gate import Gate, OpenGate
from vecgate_server.calls.observer import CallObserver
from vecgate_server.config_security import SecuritySettings
from vecgate_server.security.audit import AuditLog
from vecgate_server.security.file_replacement import exposure
from vecgate_server.security.watched_files import WatchedFiles, watch

if TYPE_CHECKING:
    from pathlib import Path

    from vecgate_server.security.key_ring import KeyRing
    from vecgate_server.security.served_certificate import ServedCertificate

log = logging.getLogger(__name__)


class Protection:
    """Begins with the files as they are; between begin() and close() it follows their changes and keeps the audit log."""

    def __init__(self, settings: SecuritySettings) -> None:
        """Read and check every file.

        Raises:
            ConfigurationError: one cannot be used; one sentence that names it.
        """
        self._settings = settings
        self._watched: list[WatchedFiles[Any, Any]] = []
        self._watching: asyncio.Task[None] | None = None
        self._certificate = self._served_certificate()
        self._keys = self._key_ring()
        self.gate: Gate = self._gate()
        self._audit = AuditLog(settings.audit_file)
        self.observers: Sequence[CallObserver] = (self._audit,)

    @property
    def certificate_expiry(self) -> float | None:
        """When the certificate that is served expires, in seconds since 1970; None without TLS."""
        return None if self._certificate is None else self._certificate.expires.timestamp()

    @property
    def files_usable(self) -> Mapping[str, bool]:
        """Whether what lies in the files of each setting is used; False: they changed and cannot be, so that the old is."""
        return {each.what: each.usable for each in self._watched}

    def credentials(self) -> grpc.ServerCredentials | None:
        """Return the credentials of a port; None for plain text."""
        return None if self._certificate is None else self._certificate.credentials()

    def begin(self) -> None:
        """Open the audit log, and follow the changes of the files.

        Raises:
            ConfigurationError: the audit log cannot be written.
        """
        self._audit.open()
        if self._watched:
            self._watching = asyncio.create_task(watch(self._watched, self._settings.reload_seconds))

    async def close(self) -> None:
        """Follow them no longer, and close the log; idempotent."""
        if self._watching is not None:
            self._watching.cancel()
            with suppress(asyncio.CancelledError):
                await self._watching
            self._watching = None
        if self._keys is not None:
            self._keys.close()
        self._audit.close()

    def _served_certificate(self) -> ServedCertificate | None:
        tls = self._settings.tls
        if tls.certificate is None or tls.key is None:
            return None
        # They load a library that plain text does without.
        from vecgate_server.security.served_certificate import ServedCertificate  # noqa: PLC0415
        from vecgate_server.security.tls_files import check_tls_files, read_tls_files  # noqa: PLC0415

        files = read_tls_files(tls)
        served = ServedCertificate(files, check_tls_files(files))
        _tell_exposure(tls.key)
        self._watched.append(
            WatchedFiles("security.tls", lambda: read_tls_files(tls), check_tls_files, served.replace, content=files)
        )
        return served

    def _key_ring(self) -> KeyRing | None:
        path = self._settings.keys_file
        if path is None:
            return None
        # A server without keys does without what hashes them.
        from vecgate_server.security.key_ring import KeyRing  # noqa: PLC0415
        from vecgate_server.security.keys_file import KeysFileError, parse_keys, read_content  # noqa: PLC0415

        try:
            content = read_content(path)
            ring = KeyRing(parse_keys(content, path))
        except KeysFileError as fault:
            raise KeysFileError(f"security.keys_file: {fault}") from None
        _tell_exposure(path)
        self._watched.append(
            WatchedFiles(
                "security.keys_file",
                lambda: read_content(path),
                lambda changed: parse_keys(changed, path),
                lambda _, entries: ring.replace(entries),
                content=content,
            )
        )
        return ring

    def _gate(self) -> Gate:
        if self._keys is None:
            return OpenGate()
        from vecgate_server.security.gate import KeyGate  # noqa: PLC0415  # as above

        return KeyGate(self._keys)


def _tell_exposure(path: Path) -> None:
    if told := exposure(path):
        log.warning("%s", told)
