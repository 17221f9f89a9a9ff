"""What is told of a call when it has ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import grpc

from vecgate_server.call_clock import CallClock
from vecgate_server.calls.caller import Caller


@dataclass(frozen=True, slots=True)
class EndedCall:
    """A call that is over.

    Attributes:
        method: such as "Search".
        request_id: the caller's, or one of ours.
        peer: the address of the connection, as gRPC writes it.
        caller: who made it.
        code: its status.
        reason: the machine reason of docs/errors.md; "" where it went well or was cancelled.
        seconds: from its begin to its end.
        request: what it asked for, of a stream the first message; None where that was not read.
        clock: where its time went.
        received_bytes, sent_bytes: of its messages.
    """

    method: str
    request_id: str
    peer: str
    caller: Caller
    code: grpc.StatusCode
    reason: str
    seconds: float
    request: Any = None
    clock: CallClock = field(default_factory=CallClock)
    received_bytes: int = 0
    sent_bytes: int = 0


class CallObserver(Protocol):
    """Is told of every call; neither waits nor raises."""

    def ended(self, call: EndedCall) -> None:
        """Take note of a call."""
