"""The file of API keys: which there are, what each may do, and the hash of its secret.

Only `vecgate-server keys` writes it, atomically; servers read it. It holds no secret, but whoever writes it lets in whom they like.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from vecgate_backends.errors import ConfigurationError
from vecgate_server.calls.caller import Caller, Scope
from vecgate_server.calls.name_patterns import NamePatterns
from vecgate_server.config_faults import InvalidSettingsError, describe_fault
from vecgate_server.config_file import yaml_mapping
from vecgate_server.security.api_key import KEY_ID, check_hash
from vecgate_server.security.file_replacement import replace_file

MOST_KEYS = 10_000
NAMESPACE = r"^[\x20-\x7e]{0,64}$"
"""As of requests: validate.argument_rules."""
HEADING = "# The API keys of a vecgate server, written by `vecgate-server keys`. It holds hashes, no secrets.\n"


class KeysFileError(ConfigurationError):
    """The file cannot be read or written, or what it holds is wrong; one sentence that names it."""


def _patterns(written: tuple[str, ...]) -> tuple[str, ...]:
    NamePatterns(written)
    return written


class KeyEntry(BaseModel):
    """One key; frozen. What is not given is not restricted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=KEY_ID.pattern, min_length=16, max_length=16)
    hash: Annotated[str, AfterValidator(check_hash)] = Field(repr=False)
    scope: Literal["read", "write", "admin"]
    collections: Annotated[tuple[str, ...], AfterValidator(_patterns)] = Field(default=("*",), min_length=1)
    namespace: str | None = Field(default=None, pattern=NAMESPACE)
    description: str = Field(default="", max_length=500)
    created: AwareDatetime
    expires: AwareDatetime | None = None
    revoked: AwareDatetime | None = None
    max_calls: int | None = Field(default=None, ge=1)
    requests_per_second: float | None = Field(default=None, gt=0)
    tokens_per_second: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _refuse_bound_admins(self) -> KeyEntry:
        if self.scope == "admin" and self.namespace is not None:
            raise ValueError(
                "scope admin cannot be bound to a namespace: it deletes collections with all their namespaces"
            )
        return self

    @property
    def state(self) -> Literal["active", "expired", "revoked"]:
        """Whether it counts now."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= datetime.now(UTC) else "active"

    def caller(self) -> Caller:
        """Return what whoever has the key may do."""
        return Caller(
            key=self.id,
            scope=Scope[self.scope.upper()],
            collections=NamePatterns(self.collections),
            namespace=self.namespace,
            max_calls=self.max_calls,
            requests_per_second=self.requests_per_second,
            tokens_per_second=self.tokens_per_second,
        )


class _KeysDocument(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    keys: tuple[KeyEntry, ...] = Field(max_length=MOST_KEYS)


Entries = Mapping[str, KeyEntry]
"""By id, in the order of the file."""


def read_keys(path: Path) -> Entries:
    """Read the file.

    Raises:
        KeysFileError: it cannot be read, or something in it is wrong.
    """
    return parse_keys(read_content(path), path)


def read_content(path: Path) -> bytes:
    """Read the file as it is.

    Raises:
        KeysFileError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as fault:
        hint = "; `vecgate-server keys create` makes it" if isinstance(fault, FileNotFoundError) else ""
        raise KeysFileError(f"{path}: {fault.strerror or fault}{hint}") from None


def parse_keys(content: bytes, path: Path) -> Entries:
    """Understand what the file holds: YAML, or JSON, which is YAML too.

    Raises:
        KeysFileError: something in it is wrong; the sentence repeats no hash.
    """
    try:
        document = _KeysDocument.model_validate(yaml_mapping(content, path))
    except InvalidSettingsError as invalid:
        raise KeysFileError(str(invalid)) from None
    except ValidationError as invalid:
        raise KeysFileError(f"{path}: {describe_fault(invalid, _KeysDocument, secret=True)}") from None
    entries = {entry.id: entry for entry in document.keys}
    if len(entries) < len(document.keys):
        raise KeysFileError(f"{path}: two keys have one id")
    return entries


def write_keys(path: Path, entries: Entries) -> None:
    """Replace the file: readers find the old one or the new one, whole.

    Raises:
        KeysFileError: it cannot be written.
    """
    document: dict[str, Any] = {
        "keys": [entry.model_dump(mode="json", exclude_defaults=True) for entry in entries.values()]
    }
    if path.suffix == ".json":
        text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    else:
        text = HEADING + yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=1_000)
    try:
        replace_file(path, text.encode())
    except OSError as fault:
        raise KeysFileError(f"{path}: cannot be written: {fault.strerror or fault}") from None
