"""A backend of the configuration: its name, and whether it is open."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from vecgate_backends.contract import Backend, Capabilities, Figure, TellsFigures, TellsProgress
from vecgate_backends.errors import BackendUnavailableError, UnavailableError, VecgateError
from vecgate_server.config import Settings
from vecgate_server.config_backends import backend_options
from vecgate_server.measured_backend import BackendMeter, MeasuredBackend

log = logging.getLogger(__name__)

CHECK_SECONDS = 5.0
"""A backend that has not said within this time that it works does not work."""
RETRY_SECONDS = 2.0
"""When to try a backend again that is away; told to callers too."""


def configured_backends(settings: Settings) -> list[ConfiguredBackend]:
    """Build the backends of the settings; none is opened.

    Raises:
        ConfigurationError: the options of one are wrong, or what it needs is not installed.
    """
    backends = []
    for name, configured in settings.backends.items():
        backend, options = backend_options(name, configured)
        backends.append(ConfiguredBackend(name, configured.kind, backend(options)))
    return backends


class ConfiguredBackend:
    """A backend under the name that collections refer to.

    One that is away when the server starts is opened when it comes back; until then its collections are UNAVAILABLE, and
    those of other backends are served.
    """

    def __init__(self, name: str, kind: str, backend: Backend) -> None:
        self.name = name
        self.kind = kind
        self.meter = BackendMeter(name)
        self._backend = backend
        self._measured = MeasuredBackend(backend, self.meter)
        self._started = False
        self._fault = "it was not opened yet"
        self._checking: asyncio.Task[str] | None = None

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""
        return self._backend.capabilities

    @property
    def progress(self) -> str:
        """What its start is doing and how far it is; "" if it is not starting or does not tell."""
        return self._backend.progress if isinstance(self._backend, TellsProgress) else ""

    def figures(self) -> Sequence[Figure]:
        """Return what it tells of itself for monitoring; from any thread."""
        return self._backend.figures() if isinstance(self._backend, TellsFigures) else ()

    @property
    def is_open(self) -> bool:
        """Whether it was opened."""
        return not self._fault

    @property
    def opened(self) -> MeasuredBackend:
        """The backend, whose every operation is counted.

        Raises:
            BackendUnavailableError: it is not open.
        """
        if self._fault:
            raise self.unavailable(self._fault)
        return self._measured

    def unavailable(self, why: str) -> BackendUnavailableError:
        """Build the error of a call that needs this backend while it is away."""
        return BackendUnavailableError(f"backend {self.name!r}: {why}", retry_after=RETRY_SECONDS)

    async def open(self, check: Callable[[Backend], Awaitable[None]] | None = None) -> bool:
        """Try to open it; False if it is away. Nobody gets it before the check has passed.

        Args:
            check: looks at it once it is started, and raises what start() may raise.

        Raises:
            ConfigurationError, StoreLockedError, StorageCorruptError, VecgateError: it cannot be used as it is.
        """
        try:
            if not self._started:
                await self._backend.start()
                self._started = True
            if check is not None:
                await check(self._backend)
        except UnavailableError as fault:
            self.hold_back(fault.message)
            return False
        self._fault = ""
        return True

    def hold_back(self, why: str) -> None:
        """Keep calls from it, and tell them why."""
        if why != self._fault:
            log.warning("backend %s is not served: %s", self.name, why)
        self._fault = why

    async def close(self) -> None:
        """Finish writes under way and release everything."""
        if self._checking:
            self._checking.cancel()
        await self._backend.close()

    async def fault(self) -> str:
        """Ask whether it works now; "" if so, else a sentence that says why not."""
        if self._fault:
            return self._fault
        # Whoever asks meanwhile waits for the same check. One that hangs in earnest, and cannot be cancelled either, is not begun again.
        if self._checking is None or self._checking.done():
            self._checking = asyncio.create_task(self._verdict())
        checking = self._checking
        await asyncio.wait({checking}, timeout=CHECK_SECONDS)
        if not checking.done() or checking.cancelled():
            checking.cancel()
            return f"does not answer within {CHECK_SECONDS:g} s"
        return checking.result()

    async def _verdict(self) -> str:
        try:
            await self._measured.check()
        except VecgateError as fault:
            return fault.message
        except Exception:  # a backend's own bug makes it unfit, and must not blind who asks
            log.exception("the check of backend %s failed", self.name)
            return "its check failed; the log has the cause"
        return ""
