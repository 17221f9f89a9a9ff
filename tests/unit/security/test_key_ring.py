"""The keys that count: verified once, slowed where they are wrong, and followed when the file changes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from vecgate_server.errors import TooManyFailedKeysError, UnauthenticatedError
from vecgate_server.security import key_ring
from vecgate_server.security.api_key import hash_of, new_key
from vecgate_server.security.failed_attempts import ATTEMPTS, ATTEMPTS_PER_SECOND, FailedAttempts, address_of
from vecgate_server.security.key_ring import KeyRing
from vecgate_server.security.keys_file import KeyEntry

PEER, OTHER_PEER = "ipv4:10.0.0.1:4711", "ipv4:10.0.0.2:4711"
IDENTIFIER, KEY = new_key()
ENTRY = KeyEntry(id=IDENTIFIER, hash=hash_of(KEY), scope="write", created=datetime.now(UTC))
SECOND_IDENTIFIER, SECOND_KEY = new_key()
SECOND = KeyEntry(id=SECOND_IDENTIFIER, hash=hash_of(SECOND_KEY), scope="read", created=datetime.now(UTC))
ENTRIES = {entry.id: entry for entry in (ENTRY, SECOND)}


class Verifications:
    """Counts what Argon2 is asked, and answers by itself, so that a test need not wait for it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.seconds = 0.0
        self.right = {ENTRY.hash: KEY, SECOND.hash: SECOND_KEY}
        monkeypatch.setattr(key_ring, "is_hash_of", self._is_hash_of)

    def _is_hash_of(self, stored: str, key: str) -> bool:
        self.count += 1
        time.sleep(self.seconds)
        return self.right.get(stored) == key


@pytest.fixture
def verifications(monkeypatch: pytest.MonkeyPatch) -> Verifications:
    return Verifications(monkeypatch)


@pytest.fixture
def now() -> list[float]:
    return [1_000.0]


@pytest.fixture
def ring(now: list[float]) -> Iterator[KeyRing]:
    ring = KeyRing(ENTRIES, FailedAttempts(lambda: now[0]))
    yield ring
    ring.close()


async def present(ring: KeyRing, key: str, peer: str = PEER) -> Any:
    return await ring.caller([("x", "y"), ("authorization", f"Bearer {key}")], peer)


async def test_a_key_is_verified_by_its_hash(ring: KeyRing) -> None:
    assert (await present(ring, KEY)).key == IDENTIFIER
    with pytest.raises(UnauthenticatedError):
        await present(ring, KEY[:-2] + "00")


async def test_a_key_is_verified_once_also_when_many_calls_come_at_once(
    ring: KeyRing, verifications: Verifications
) -> None:
    verifications.seconds = 0.02
    callers = await asyncio.gather(*(present(ring, KEY) for _ in range(100)))
    assert {caller.key for caller in callers} == {IDENTIFIER}
    await present(ring, KEY)
    assert verifications.count == 1


async def test_a_wrong_key_is_verified_once_too(ring: KeyRing, verifications: Verifications) -> None:
    for _ in range(2 * ATTEMPTS):
        with pytest.raises(UnauthenticatedError):
            await present(ring, new_key()[1] if verifications.count == 0 else WRONG)
    assert verifications.count == 2


WRONG = new_key()[1]


async def test_the_caller_who_goes_away_takes_the_verification_from_nobody(
    ring: KeyRing, verifications: Verifications
) -> None:
    verifications.seconds = 0.05
    gone, waiting = (asyncio.create_task(present(ring, KEY)) for _ in range(2))
    await asyncio.sleep(0.01)
    gone.cancel()
    assert (await waiting).key == IDENTIFIER
    assert verifications.count == 1


async def test_an_unknown_id_takes_the_same_work_and_gets_the_same_words(
    ring: KeyRing, verifications: Verifications
) -> None:
    told = []
    for wrong in (new_key()[1], KEY[:-2] + "00"):
        with pytest.raises(UnauthenticatedError) as refused:
            await present(ring, wrong)
        told.append(refused.value.message)
    assert verifications.count == 2
    assert len(set(told)) == 1


async def test_an_address_with_many_wrong_keys_must_wait_and_others_go_on(
    ring: KeyRing, verifications: Verifications, now: list[float]
) -> None:
    await present(ring, KEY)
    for _ in range(ATTEMPTS):
        with pytest.raises(UnauthenticatedError):
            await present(ring, new_key()[1])
    with pytest.raises(TooManyFailedKeysError) as throttled:
        await present(ring, new_key()[1])
    assert throttled.value.retry_after == pytest.approx(1 / ATTEMPTS_PER_SECOND)
    asked = verifications.count
    assert (await present(ring, KEY)).key == IDENTIFIER
    with pytest.raises(TooManyFailedKeysError):
        await present(ring, SECOND_KEY)
    assert verifications.count == asked
    assert (await present(ring, SECOND_KEY, OTHER_PEER)).key == SECOND_IDENTIFIER
    now[0] += 1 / ATTEMPTS_PER_SECOND
    with pytest.raises(UnauthenticatedError):
        await present(ring, new_key()[1])
    with pytest.raises(TooManyFailedKeysError):
        await present(ring, new_key()[1])


async def test_right_keys_are_no_failed_attempts(verifications: Verifications) -> None:
    many = {}
    for _ in range(2 * ATTEMPTS):
        identifier, key = new_key()
        many[key] = SECOND.model_copy(update={"id": identifier, "hash": f"hash of {key}"})
        verifications.right[f"hash of {key}"] = key
    ring = KeyRing({entry.id: entry for entry in many.values()})
    assert [(await present(ring, key)).key for key in many] == [entry.id for entry in many.values()]
    ring.close()


async def test_only_so_many_keys_wait_to_be_verified(ring: KeyRing, verifications: Verifications) -> None:
    verifications.seconds = 0.01
    await present(ring, KEY)
    strangers = [
        asyncio.create_task(present(ring, new_key()[1], f"ipv4:10.1.{number}.1:1"))
        for number in range(key_ring.WAITING_AT_MOST)
    ]
    await asyncio.sleep(0)
    with pytest.raises(TooManyFailedKeysError, match="wait to be verified") as full:
        await present(ring, SECOND_KEY, OTHER_PEER)
    assert full.value.retry_after
    assert (await present(ring, KEY)).key == IDENTIFIER
    await asyncio.gather(*strangers, return_exceptions=True)
    assert (await present(ring, SECOND_KEY, OTHER_PEER)).key == SECOND_IDENTIFIER


async def test_a_revoked_key_ends_at_once_and_a_caller_of_it_too(ring: KeyRing, verifications: Verifications) -> None:
    caller = await present(ring, KEY)
    ring.replace(ENTRIES | {IDENTIFIER: ENTRY.model_copy(update={"revoked": datetime.now(UTC)})})
    for refused in (present(ring, KEY), asyncio.to_thread(ring.now, caller)):
        with pytest.raises(UnauthenticatedError, match="is not valid"):
            await refused
    ring.replace({SECOND.id: SECOND})
    with pytest.raises(UnauthenticatedError):
        ring.now(caller)


async def test_a_change_of_rights_needs_no_new_verification_and_a_change_of_the_hash_does(
    ring: KeyRing, verifications: Verifications
) -> None:
    await present(ring, KEY)
    ring.replace(ENTRIES | {IDENTIFIER: ENTRY.model_copy(update={"namespace": "a"})})
    assert (await present(ring, KEY)).namespace == "a"
    assert verifications.count == 1
    ring.replace(ENTRIES | {IDENTIFIER: ENTRY.model_copy(update={"hash": SECOND.hash})})
    with pytest.raises(UnauthenticatedError):
        await present(ring, KEY)


async def test_a_key_that_was_wrong_counts_once_it_is_in_the_file(verifications: Verifications) -> None:
    ring = KeyRing({SECOND.id: SECOND})
    with pytest.raises(UnauthenticatedError):
        await present(ring, KEY)
    ring.replace(ENTRIES)
    assert (await present(ring, KEY)).key == IDENTIFIER
    ring.close()


async def test_a_key_expires_while_it_is_known(ring: KeyRing, verifications: Verifications) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=0.1)
    ring.replace(ENTRIES | {IDENTIFIER: ENTRY.model_copy(update={"expires": soon})})
    caller = await present(ring, KEY)
    await asyncio.sleep(0.11)
    with pytest.raises(UnauthenticatedError, match="expired at"):
        await present(ring, KEY)
    with pytest.raises(UnauthenticatedError, match="expired at"):
        ring.now(caller)


async def test_no_key_is_kept_in_memory(ring: KeyRing, verifications: Verifications) -> None:
    await present(ring, KEY)
    with pytest.raises(UnauthenticatedError):
        await present(ring, WRONG)
    kept = repr({name: value for name, value in vars(ring).items() if name != "_nobody"})
    assert KEY not in kept
    assert WRONG not in kept
    assert ENTRY.hash not in kept


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:10.0.0.1:4711", "10.0.0.1"),
        ("ipv6:%5B2001:db8:1:2:3:4:5:6%5D:4711", "2001:0db8:0001:0002"),
        ("ipv6:[2001:db8:1:2::9]:4711", "2001:0db8:0001:0002"),
        ("ipv6:%5Bfe80::1%25eth0%5D:1", "fe80:0000:0000:0000"),
        ("ipv6:[::ffff:10.0.0.1]:4711", "10.0.0.1"),
        ("unix:/run/vecgate.sock", "unix:/run/vecgate.sock"),
        ("", ""),
    ],
)
def test_an_address_is_a_peer_s_without_its_port(peer: str, address: str) -> None:
    assert address_of(peer) == address


def test_addresses_are_not_remembered_without_end() -> None:
    attempts = FailedAttempts(lambda: 0.0)
    for number in range(20_000):
        attempts.take(str(number))
    assert len(attempts._buckets) == 10_000


def test_an_address_that_goes_on_guessing_is_not_forgotten_for_others() -> None:
    attempts = FailedAttempts(lambda: 0.0)
    for _ in range(ATTEMPTS):
        attempts.take("guesses")
    for number in range(20_000):
        attempts.take(str(number))
        if number % 1_000 == 0:
            assert attempts.take("guesses") > 0
