"""The options of the Pinecone backend, and what is wrong with them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr

from vecgate_backends.errors import ConfigurationError

LONGEST_PREFIX = 20
_PREFIX = re.compile(rf"([a-z0-9][a-z0-9-]{{0,{LONGEST_PREFIX - 1}}})?")


@dataclass(frozen=True, slots=True)
class PineconeOptions:
    """Options of the Pinecone backend.

    Attributes:
        api_key: the key of the project. A secret: it is neither logged nor shown; better in the environment or in a file.
        api_key_file: a file that holds the key, read when the backend starts; instead of api_key.
        controller_url: where indexes are made and listed.
        cloud: the cloud that new indexes are made in. region: the region there.
        index_prefix: what the names of all indexes of this backend begin with, at most 20 of a-z, 0-9 and "-". Two servers with one key and
            different prefixes see nothing of each other.
        deadline_seconds: seconds one request to Pinecone may take, with its retries.
        attempt_seconds: seconds one attempt of it may take.
        visible_seconds: seconds to wait until a write is visible, for writes that ask for it and reads with a consistency token.
        ready_seconds: seconds to wait until a new index is ready, or a deleted one gone.
        settings_seconds: seconds the settings of a collection are trusted before Pinecone is asked again; so long may
            another replica's delete stay unnoticed.
        max_scan_records: the most records that one exact search, filter or statistic may read one by one.
        max_connections: connections to each index.
    """

    api_key: SecretStr = field(default_factory=lambda: SecretStr(""))
    api_key_file: Path | None = None
    controller_url: str = "https://api.pinecone.io"
    cloud: str = "aws"
    region: str = "us-east-1"
    index_prefix: str = ""
    deadline_seconds: float = 30.0
    attempt_seconds: float = 10.0
    visible_seconds: float = 10.0
    ready_seconds: float = 300.0
    settings_seconds: float = 10.0
    max_scan_records: int = 50_000
    max_connections: int = 32


def check_options(options: PineconeOptions) -> None:
    """Raise ConfigurationError for the first option that is out of bounds."""
    for name in ("deadline_seconds", "attempt_seconds", "visible_seconds", "ready_seconds", "settings_seconds"):
        if not 0 < getattr(options, name) <= 3600:
            raise ConfigurationError(f"{name}: must be above 0 and at most 3600, not {getattr(options, name)}")
    for name in ("max_scan_records", "max_connections"):
        if getattr(options, name) < 1:
            raise ConfigurationError(f"{name}: must be at least 1, not {getattr(options, name)}")
    if _PREFIX.fullmatch(options.index_prefix) is None:
        raise ConfigurationError(
            f'index_prefix: at most {LONGEST_PREFIX} of a-z, 0-9 and "-", and no "-" first; not {options.index_prefix!r}'
        )
    if options.api_key.get_secret_value() and options.api_key_file is not None:
        raise ConfigurationError("api_key_file: cannot be given beside api_key")


def read_api_key(options: PineconeOptions) -> str:
    """Return the key, from the options or from the file they name.

    Raises:
        ConfigurationError: there is none, or it cannot be read.
    """
    key = options.api_key.get_secret_value()
    if options.api_key_file is not None:
        try:
            key = options.api_key_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as fault:
            raise ConfigurationError(f"api_key_file: {options.api_key_file} cannot be read: {fault}") from None
    if not key:
        raise ConfigurationError("api_key: a key is needed, here or in the file that api_key_file names")
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ConfigurationError("api_key: holds characters that no key has")
    return key
