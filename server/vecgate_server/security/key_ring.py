"""The API keys that count now, and whether a key that a caller presents is one of them.

To verify a key takes tens of milliseconds on purpose. That is done once for a key, in a thread of its own, one at a time; after that a
keyed hash of what was presented finds it, so a call pays microseconds. Wrong keys are remembered too.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from hashlib import blake2b

from vecgate_server.calls.caller import Caller
from vecgate_server.errors import TooManyFailedKeysError, UnauthenticatedError
from vecgate_server.security.api_key import is_hash_of, key_id, nobodys_hash
from vecgate_server.security.failed_attempts import FailedAttempts, address_of
from vecgate_server.security.keys_file import Entries, KeyEntry

VERIFIED_AT_ONCE = 1
"""Verifications side by side, of 19 MiB and one core each: whoever sends wrong keys without end takes no more than that."""
WAITING_AT_MOST = 64
"""Keys that wait to be verified; beyond that a caller is told to come back. Keys that were seen before never wait."""
REMEMBERED_WRONG_KEYS = 10_000
RETRY_SECONDS = 1.0

NO_KEY = "this server asks for an API key: send it as metadata 'authorization: Bearer KEY'"
WRONG_KEY = "the API key is not valid"
"""Said of a key that never was, of a wrong secret and of a revoked key alike."""


class KeyRing:
    """The keys of a file, which replace() changes while calls go on."""

    def __init__(self, entries: Entries, attempts: FailedAttempts | None = None) -> None:
        """Begin with the keys of a file."""
        self._attempts = attempts or FailedAttempts()
        self._threads = ThreadPoolExecutor(VERIFIED_AT_ONCE, thread_name_prefix="verify key")
        self._verifying: dict[bytes, asyncio.Task[KeyEntry | None]] = {}
        # A key stands nowhere in memory: this finds what was verified, and tells whoever reads it nothing without the pepper.
        self._pepper = secrets.token_bytes(32)
        self._right: dict[bytes, KeyEntry] = {}
        self._wrong: OrderedDict[bytes, None] = OrderedDict()
        self._nobody = nobodys_hash()
        self._entries: Entries = {}
        self._callers: dict[str, Caller] = {}
        self.replace(entries)

    def replace(self, entries: Entries) -> None:
        """Let these keys count from now on; what was verified stays so if the hash is the same."""
        self._entries = entries
        # Made when they are first asked for: a file may have thousands.
        self._callers = {}
        self._right = {
            digest: entries[old.id]
            for digest, old in self._right.items()
            if old.id in entries and entries[old.id].hash == old.hash
        }
        self._wrong.clear()

    def close(self) -> None:
        """Let its thread end."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def caller(self, metadata: Sequence[tuple[str, str | bytes]], peer: str) -> Caller:
        """Return whose key a call carries.

        Raises:
            UnauthenticatedError: nobody's; it carries none, several, or one that does not count.
            TooManyFailedKeysError: the key was not seen before, and too many wrong ones were.
        """
        key = presented_key(metadata)
        digest = blake2b(key.encode(), digest_size=32, key=self._pepper).digest()
        entry = self._right.get(digest)
        if entry is None:
            entry = await self._verified(digest, key, address_of(peer))
        return self._counting(entry)

    def now(self, caller: Caller) -> Caller:
        """Return what the key of a caller lets it do now, which may be less than when its call began.

        Raises:
            UnauthenticatedError: it does not count any more.
        """
        entry = self._entries.get(caller.key)
        if entry is None:
            raise UnauthenticatedError(WRONG_KEY)
        return self._counting(entry)

    def _counting(self, entry: KeyEntry) -> Caller:
        if entry.revoked is not None:
            raise UnauthenticatedError(WRONG_KEY)
        # Told to none but those who have the key.
        if entry.expires is not None and entry.expires <= datetime.now(UTC):
            raise UnauthenticatedError(f"the API key expired at {entry.expires.isoformat()}; ask for a new one")
        caller = self._callers.get(entry.id)
        if caller is None:
            caller = self._callers[entry.id] = entry.caller()
        return caller

    async def _verified(self, digest: bytes, key: str, address: str) -> KeyEntry:
        if digest in self._wrong or key_id(key) is None:
            raise UnauthenticatedError(WRONG_KEY)
        verifying = self._verifying.get(digest)
        if verifying is None:
            verifying = self._begin(digest, key, address)
        # Whoever goes away leaves it to the others who wait for the same.
        entry = await asyncio.shield(verifying)
        if entry is None:
            raise UnauthenticatedError(WRONG_KEY)
        return entry

    def _begin(self, digest: bytes, key: str, address: str) -> asyncio.Task[KeyEntry | None]:
        if len(self._verifying) >= WAITING_AT_MOST:
            raise TooManyFailedKeysError("too many API keys wait to be verified", retry_after=RETRY_SECONDS)
        if seconds := self._attempts.take(address):
            raise TooManyFailedKeysError(
                "too many wrong API keys came from this address; those that were right before go on",
                retry_after=seconds,
            )
        verifying = asyncio.create_task(self._verify(digest, key, address))
        self._verifying[digest] = verifying
        verifying.add_done_callback(lambda _: self._verifying.pop(digest, None))
        return verifying

    async def _verify(self, digest: bytes, key: str, address: str) -> KeyEntry | None:
        entries = self._entries
        entry = entries.get(key_id(key) or "")
        stored = entry.hash if entry else self._nobody
        right = await asyncio.get_running_loop().run_in_executor(self._threads, is_hash_of, stored, key)
        if entry is not None and right:
            self._attempts.give_back(address)
            # The file may have changed meanwhile.
            now = self._entries.get(entry.id)
            if now is None or now.hash != entry.hash:
                return None
            self._right[digest] = now
            return now
        if entries is self._entries:
            self._wrong[digest] = None
            if len(self._wrong) > REMEMBERED_WRONG_KEYS:
                self._wrong.popitem(last=False)
        return None


def presented_key(metadata: Sequence[tuple[str, str | bytes]]) -> str:
    """Return what a call presents as its key.

    Raises:
        UnauthenticatedError: nothing, or several things, or not as a bearer.
    """
    presented = [value for name, value in metadata if name == "authorization"]
    if not presented:
        raise UnauthenticatedError(NO_KEY)
    value = presented[0]
    if len(presented) > 1 or not isinstance(value, str):
        raise UnauthenticatedError("the metadata 'authorization' must stand once")
    scheme, _, key = value.partition(" ")
    if scheme.lower() != "bearer":
        raise UnauthenticatedError(NO_KEY)
    return key.strip()
