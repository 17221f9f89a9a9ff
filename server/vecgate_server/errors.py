"""The server's own leaves on the error tree of vecgate_backends.errors.

InvalidArgumentError
├── NotFiniteError              VECTOR_NOT_FINITE
├── ZeroVectorError             ZERO_VECTOR
├── MetadataValueError          METADATA_VALUE (not finite, out of range, of a type not taken)
│   └── MetadataValueUnsetError     METADATA_VALUE_UNSET
├── TextTooLongError            TEXT_TOO_LONG
├── ModelKindError              MODEL_KIND
└── LimitExceededError          LIMIT_EXCEEDED
MissingError
├── ModelNotFoundError          MODEL_NOT_FOUND
└── BackendNotFoundError        BACKEND_NOT_FOUND
PreconditionError
├── ModelMismatchError          MODEL_MISMATCH
└── CollectionUnboundError      COLLECTION_UNBOUND
UnsupportedError
├── NotYetError                 NOT_IMPLEMENTED
└── DimensionsUnsupportedError  DIMENSIONS_UNSUPPORTED
ExhaustedError
├── EncoderBusyError            ENCODER_BUSY
├── TooManyCallsError           TOO_MANY_CALLS
├── TooManyFailedKeysError      TOO_MANY_FAILED_KEYS
├── TooManyStreamsError         TOO_MANY_STREAMS
├── TooManyBytesError           TOO_MANY_BYTES
├── KeyCallsExceededError       KEY_CALLS_EXCEEDED
├── KeyRateExceededError        KEY_RATE_EXCEEDED
├── KeyTokensExceededError      KEY_TOKENS_EXCEEDED
├── AnswersUnreadError          ANSWERS_UNREAD
├── RequestTooLargeError        REQUEST_TOO_LARGE
└── ResponseTooLargeError       RESPONSE_TOO_LARGE
UnauthenticatedError        UNAUTHENTICATED: the caller has no key, or none that counts
PermissionDeniedError       PERMISSION_DENIED: the caller's key does not go so far
UnavailableError
├── ModelUnavailableError       MODEL_UNAVAILABLE
├── StartingError               STARTING
└── ShuttingDownError           SHUTTING_DOWN
"""

from vecgate_backends.errors import (
    ExhaustedError,
    InvalidArgumentError,
    MissingError,
    PreconditionError,
    UnavailableError,
    UnsupportedError,
    VecgateError,
)


class NotFiniteError(InvalidArgumentError):
    """A vector holds NaN or infinity."""

    reason = "VECTOR_NOT_FINITE"


class ZeroVectorError(InvalidArgumentError):
    """A vector of zeros has no direction, so COSINE cannot use it."""

    reason = "ZERO_VECTOR"


class MetadataValueError(InvalidArgumentError):
    """A metadata value is not finite, out of range or otherwise not storable."""

    reason = "METADATA_VALUE"


class MetadataValueUnsetError(MetadataValueError):
    """A metadata value has no kind set; a field without a value is left out instead."""

    reason = "METADATA_VALUE_UNSET"


class TextTooLongError(InvalidArgumentError):
    """A text has more tokens than the model reads, and truncation was not asked for."""

    reason = "TEXT_TOO_LONG"


class ModelKindError(InvalidArgumentError):
    """The model is not for this: a cross-encoder was to encode, or an encoder to rerank."""

    reason = "MODEL_KIND"


class LimitExceededError(InvalidArgumentError):
    """A documented limit was passed; the message names it."""

    reason = "LIMIT_EXCEEDED"


class ModelNotFoundError(MissingError):
    """The server is not configured for this model."""

    reason = "MODEL_NOT_FOUND"


class BackendNotFoundError(MissingError):
    """The server is not configured for this backend."""

    reason = "BACKEND_NOT_FOUND"


class ModelMismatchError(PreconditionError):
    """The model at hand is not the one the collection is bound to, whatever its name."""

    reason = "MODEL_MISMATCH"


class CollectionUnboundError(PreconditionError):
    """The collection takes raw vectors only."""

    reason = "COLLECTION_UNBOUND"


class NotYetError(UnsupportedError):
    """Part of the API that this version does not do yet."""

    reason = "NOT_IMPLEMENTED"


class DimensionsUnsupportedError(UnsupportedError):
    """The model's vectors cannot be shortened."""

    reason = "DIMENSIONS_UNSUPPORTED"


class UnauthenticatedError(VecgateError):
    """The call carries no API key that counts; the message does not tell one that never was from one that is over."""

    reason = "UNAUTHENTICATED"


class PermissionDeniedError(VecgateError):
    """The caller's API key does not allow this; the same is said whether what was named exists or not."""

    reason = "PERMISSION_DENIED"


class TooManyFailedKeysError(ExhaustedError):
    """So many wrong keys came that keys which were not seen yet wait; retry_after says when to come back."""

    reason = "TOO_MANY_FAILED_KEYS"


class EncoderBusyError(ExhaustedError):
    """The encoder's queue is full; retry_after says when to come back."""

    reason = "ENCODER_BUSY"


class TooManyCallsError(ExhaustedError):
    """The server has as many calls in hand as it takes; retry_after says when to come back."""

    reason = "TOO_MANY_CALLS"


class TooManyStreamsError(ExhaustedError):
    """The server, or the caller's key, has as many streams open as it may; retry_after says when to come back."""

    reason = "TOO_MANY_STREAMS"


class TooManyBytesError(ExhaustedError):
    """The requests in hand take as much memory as they may; retry_after says when to come back."""

    reason = "TOO_MANY_BYTES"


class KeyCallsExceededError(ExhaustedError):
    """The caller's key has as many calls in hand as it may; retry_after says when to come back."""

    reason = "KEY_CALLS_EXCEEDED"


class KeyRateExceededError(ExhaustedError):
    """The caller's key made more requests of late than it may; retry_after says when to come back."""

    reason = "KEY_RATE_EXCEEDED"


class KeyTokensExceededError(ExhaustedError):
    """The caller's key had models read more tokens of late than it may; retry_after says when to come back."""

    reason = "KEY_TOKENS_EXCEEDED"


class AnswersUnreadError(ExhaustedError):
    """Answers that callers do not take fill the memory kept for them; retry_after says when to come back."""

    reason = "ANSWERS_UNREAD"


class RequestTooLargeError(ExhaustedError):
    """The request passes the message limit; send it in parts. It had no effect."""

    reason = "REQUEST_TOO_LARGE"


class ResponseTooLargeError(ExhaustedError):
    """The answer would pass the message limit; ask for fewer records or fields."""

    reason = "RESPONSE_TOO_LARGE"


class ModelUnavailableError(UnavailableError):
    """The model is known but cannot be loaded now."""

    reason = "MODEL_UNAVAILABLE"


class StartingError(UnavailableError):
    """The server has not opened its backends yet."""

    reason = "STARTING"


class ShuttingDownError(UnavailableError):
    """The server is going away."""

    reason = "SHUTTING_DOWN"
