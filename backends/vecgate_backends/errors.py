"""Everything that can go wrong, as one tree; the server maps each class to a gRPC status in one table.

    VecgateError
    ├── InvalidArgumentError        INVALID_ARGUMENT: the request is wrong, and stays wrong
    │   ├── DimensionMismatchError      DIMENSION_MISMATCH
    │   ├── FilterTypeError             FILTER_TYPE
    │   ├── FilterSyntaxError           FILTER_SYNTAX
    │   ├── IndexUnsupportedError       INDEX_UNSUPPORTED
    │   └── TokenInvalidError           TOKEN_INVALID (page or consistency token)
    ├── MissingError                NOT_FOUND
    │   ├── CollectionNotFoundError     COLLECTION_NOT_FOUND
    │   └── RecordNotFoundError         RECORD_NOT_FOUND
    ├── ExistsError                 ALREADY_EXISTS
    │   ├── CollectionExistsError       COLLECTION_EXISTS
    │   └── RecordExistsError           RECORD_EXISTS
    ├── PreconditionError           FAILED_PRECONDITION: right, but not in this state
    ├── UnsupportedError            UNIMPLEMENTED: this backend or this version cannot
    ├── ExhaustedError              RESOURCE_EXHAUSTED
    │   └── StorageFullError            STORAGE_FULL
    ├── UnavailableError            UNAVAILABLE: try again
    │   └── BackendUnavailableError     BACKEND_UNAVAILABLE
    └── DataLossError               DATA_LOSS: what was stored cannot be read
        └── StorageCorruptError         STORAGE_CORRUPT

The server adds leaves of its own below the same branches (vecgate_server/errors.py). StoreLockedError and
ConfigurationError end a start and never reach the wire.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One wrong field: its path from the request's root, such as records[3].metadata["year"], and what is wrong with it."""

    field: str
    description: str


class VecgateError(Exception):
    """Root of the tree.

    Attributes:
        reason: the machine word clients act on.
        message: one sentence for people; carries no secret and no stored data of others.
        violations: the wrong fields, if the fault is the request's.
        retry_after: seconds after which a retry may help, if one may.
    """

    reason: ClassVar[str] = "UNKNOWN"

    def __init__(
        self, message: str, *, violations: Sequence[FieldViolation] = (), retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.violations = tuple(violations)
        self.retry_after = retry_after


class InvalidArgumentError(VecgateError):
    """The request is wrong, and stays wrong."""

    reason = "INVALID_ARGUMENT"

    @classmethod
    def at(cls, field: str, description: str) -> InvalidArgumentError:
        """Build the error for one wrong field; the message names it."""
        return cls(f"{field}: {description}", violations=[FieldViolation(field, description)])


class DimensionMismatchError(InvalidArgumentError):
    """A vector's length is not the collection's."""

    reason = "DIMENSION_MISMATCH"


class FilterTypeError(InvalidArgumentError):
    """A condition's operand has a type the test does not take."""

    reason = "FILTER_TYPE"


class FilterSyntaxError(InvalidArgumentError):
    """The text form of a filter cannot be parsed."""

    reason = "FILTER_SYNTAX"


class IndexUnsupportedError(InvalidArgumentError):
    """The backend does not build the asked kind of index."""

    reason = "INDEX_UNSUPPORTED"


class TokenInvalidError(InvalidArgumentError):
    """A page token or consistency token is damaged or belongs elsewhere."""

    reason = "TOKEN_INVALID"


class MissingError(VecgateError):
    """What was named does not exist."""

    reason = "NOT_FOUND"


class CollectionNotFoundError(MissingError):
    """No collection of that name."""

    reason = "COLLECTION_NOT_FOUND"


class RecordNotFoundError(MissingError):
    """No record of that id in the namespace."""

    reason = "RECORD_NOT_FOUND"


class ExistsError(VecgateError):
    """What was to be made exists."""

    reason = "ALREADY_EXISTS"


class CollectionExistsError(ExistsError):
    """A collection of that name exists."""

    reason = "COLLECTION_EXISTS"


class RecordExistsError(ExistsError):
    """A record of that id exists in the namespace."""

    reason = "RECORD_EXISTS"


class PreconditionError(VecgateError):
    """The request is right, but not in this state."""

    reason = "FAILED_PRECONDITION"


class UnsupportedError(VecgateError):
    """This backend, or this version, cannot do it; the message says which."""

    reason = "UNSUPPORTED"


class ExhaustedError(VecgateError):
    """A bound was reached."""

    reason = "RESOURCE_EXHAUSTED"


class StorageFullError(ExhaustedError):
    """The disk is full: nothing was written, reads go on."""

    reason = "STORAGE_FULL"


class UnavailableError(VecgateError):
    """Not now; try again."""

    reason = "UNAVAILABLE"


class BackendUnavailableError(UnavailableError):
    """The backend does not answer, or is closed."""

    reason = "BACKEND_UNAVAILABLE"


class DataLossError(VecgateError):
    """What was stored cannot be read."""

    reason = "DATA_LOSS"


class StorageCorruptError(DataLossError):
    """A file that holds the truth is damaged; it is left as it is, for repair from a backup."""

    reason = "STORAGE_CORRUPT"


class StoreLockedError(Exception):
    """Another process has the store open."""


class ConfigurationError(Exception):
    """A setting is wrong; the message names its path and what would be right."""
