"""Files that are read again when they change.

They are compared by what they hold: Kubernetes changes a Secret by moving a link, which no time of a file need tell.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Generic, TypeVar

from vecgate_backends.errors import ConfigurationError

Content = TypeVar("Content")
Meaning = TypeVar("Meaning")

log = logging.getLogger(__name__)


class WatchedFiles(Generic[Content, Meaning]):
    """Some files that belong together; what they mean is handed on only if it can be used."""

    def __init__(
        self,
        what: str,
        read: Callable[[], Content],
        understand: Callable[[Content], Meaning],
        take: Callable[[Content, Meaning], None],
        *,
        content: Content,
    ) -> None:
        """Begin with what was read before.

        Args:
            what: what the log calls them.
            read: reads them; raises ConfigurationError.
            understand: checks what was read; raises ConfigurationError.
            take: uses it from now on; called on the event loop, the other two in a thread.
            content: what is used now.
        """
        self._what = what
        self._read = read
        self._understand = understand
        self._take = take
        self._used = content
        self._fault = ""
        self._told = False

    @property
    def what(self) -> str:
        """What the log calls them: the setting that names them."""
        return self._what

    @property
    def usable(self) -> bool:
        """Whether what lies there can be used, and so is."""
        return not self._told

    async def look(self) -> None:
        """Read the files, and take what they hold if that is new; what cannot be used is told once and changes nothing."""
        try:
            content = await asyncio.to_thread(self._read)
            if content != self._used:
                meaning = await asyncio.to_thread(self._understand, content)
                self._take(content, meaning)
                self._used = content
                log.info("%s: what changed is used from now on", self._what)
        except ConfigurationError as fault:
            self._note(str(fault))
            return
        if self._told:
            log.info("%s: can be used again", self._what)
        self._fault, self._told = "", False

    def _note(self, fault: str) -> None:
        # A fault that is gone at the next look was that of a moment between two files.
        if fault != self._fault:
            self._fault, self._told = fault, False
        elif not self._told:
            self._told = True
            log.error("%s: %s; what was there before is used on", self._what, fault)


async def watch(files: list[WatchedFiles[object, object]], seconds: float) -> None:
    """Look at an interval until cancelled."""
    while True:
        await asyncio.sleep(seconds)
        for each in files:
            try:
                await each.look()
            except Exception:  # a fault of ours must not end the looks that revoke keys
                log.exception("cannot look for changes")
