"""Callers that go away before they have their answer: no fault of the server's, and nothing that its log should be filled with."""

from __future__ import annotations

import logging

GRPC_LOG = "grpc._cython.cygrpc"
BROKEN_UNDER_AN_ANSWER = "ExecuteBatchError"
"""gRPC does not export this class."""


def _is_news(record: logging.LogRecord) -> bool:
    """Tell apart what gRPC writes, with a traceback, for each connection that breaks under an answer."""
    return not (record.exc_info and type(record.exc_info[1]).__name__ == BROKEN_UNDER_AN_ANSWER)


def keep_out_of_the_log() -> None:
    """Leave them out of gRPC's log; idempotent."""
    logging.getLogger(GRPC_LOG).addFilter(_is_news)
