"""API keys: how they look, how they are made, and what of them is stored.

A key is vg_<id>_<secret>. The id is public: it finds the entry, so that one hash is computed and not one for each entry, and it stands in logs.
The secret is 256 random bits and is stored as an Argon2id hash of the whole key alone, with the parameters that OWASP gives as the least for
passwords (19 MiB, 2 passes, 1 lane); a guess of 256 bits needs no more. https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html
"""

from __future__ import annotations

import re
import secrets

from argon2 import PasswordHasher, Type, extract_parameters
from argon2.exceptions import InvalidHashError, VerificationError

KEY = re.compile(r"vg_(?P<id>[0-9a-f]{16})_[A-Za-z0-9_-]{43}")
KEY_ID = re.compile(r"[0-9a-f]{16}")
SECRET_BYTES = 32
MOST_MEMORY_KIB = 262_144
"""Of one verification: a file must not be able to take the machine's memory."""
MOST_PASSES = 16
MOST_LANES = 16
"""Each is a thread of its own."""

_HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1, type=Type.ID)


def new_key() -> tuple[str, str]:
    """Make a key, and return its id and the key."""
    identifier = secrets.token_hex(8)
    return identifier, f"vg_{identifier}_{secrets.token_urlsafe(SECRET_BYTES)}"


def key_id(key: str) -> str | None:
    """Return the id of what has the form of a key; None for anything else."""
    found = KEY.fullmatch(key)
    return found["id"] if found else None


def hash_of(key: str) -> str:
    """Hash a key for the file, which takes some tens of milliseconds."""
    return _HASHER.hash(key)


def is_hash_of(stored: str, key: str) -> bool:
    """Whether a stored hash is that of a key; takes some tens of milliseconds, without the interpreter's lock.

    Both sides are compared in constant time, by Argon2's own library.
    """
    try:
        return _HASHER.verify(stored, key)
    except VerificationError:
        return False


def check_hash(stored: str) -> str:
    """Return a hash that can be verified here.

    Raises:
        ValueError: it is none of Argon2id, or would take too much memory or time. It is not repeated.
    """
    try:
        parameters = extract_parameters(stored)
    except InvalidHashError:
        raise ValueError("is no hash of Argon2; `vecgate-server keys create` writes one") from None
    if parameters.type is not Type.ID:
        raise ValueError("is no hash of Argon2id")
    figures = parameters.memory_cost, parameters.time_cost, parameters.parallelism
    if any(figure > most for figure, most in zip(figures, (MOST_MEMORY_KIB, MOST_PASSES, MOST_LANES), strict=True)):
        raise ValueError(f"takes more than {MOST_MEMORY_KIB} KiB, {MOST_PASSES} passes or {MOST_LANES} lanes")
    return stored


def nobodys_hash() -> str:
    """Hash a key that nobody has: what a key of an unknown id is compared with, so that it takes as long as a wrong one."""
    return hash_of(new_key()[1])
