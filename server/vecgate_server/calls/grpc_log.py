"""What gRPC's own log is kept free of: callers that leave before their answer, or whose bytes are no text, are no fault of the server's, and could fill it."""

from __future__ import annotations

import logging

GRPC_LOG = "grpc._cython.cygrpc"
OF_CALLERS = frozenset({"ExecuteBatchError", "UnicodeDecodeError"})
"""What gRPC writes with a traceback for each connection that breaks under an answer, and each path that is no UTF-8. It does not export the first."""


def _is_news(record: logging.LogRecord) -> bool:
    return not (record.exc_info and type(record.exc_info[1]).__name__ in OF_CALLERS)


def keep_callers_out_of_the_log() -> None:
    """Leave them out of gRPC's log; idempotent."""
    logging.getLogger(GRPC_LOG).addFilter(_is_news)
