# Generated from vecgate/aio/connection.py by clients/python/generate_client.py; edit that file.
"""One channel and the calls over it: deadlines, retries, errors."""

from __future__ import annotations

import os
import threading
import time
from typing import TypeVar

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from vecgate.begun_calls import BegunCall
from vecgate.channel import (
    PASSED_LIMIT,
    Deadlines,
    Stub,
    check_target,
    check_timeout,
    open_channel,
    pause_before_retry,
    pauses,
)
from vecgate.errors import VecgateError
from vecgate.security import ChannelSecurity
from vecgate.server_info import Limits
from vecgate.turns import Turns
from vecgate.upsert_stream.calls import StreamCall
from vecgate.v1.server_info_pb2 import GetServerInfoRequest
from vecgate.v1.service_pb2_grpc import VectorSearchServiceStub
from vecgate.wire.server import server_info_from
from vecgate.wire.status import error_from_call

Request = TypeVar("Request")
Response = TypeVar("Response")


class ChannelParts:
    """An open channel and the methods over it, in the process that opened it."""

    def __init__(self, target: str, security: ChannelSecurity) -> None:
        self.process = os.getpid()
        self.channel = open_channel(target, security)
        self.stub = VectorSearchServiceStub(self.channel)
        self.health_check: grpc.UnaryUnaryMultiCallable[HealthCheckRequest, HealthCheckResponse]
        self.health_check = self.channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=HealthCheckRequest.SerializeToString,
            response_deserializer=HealthCheckResponse.FromString,
        )


class Connection:
    """The channel of a client, opened at its first call, so that a client may be made before a process forks.

    Attributes:
        target: where it leads.
        deadlines: default seconds of a request.
        metadata: what every call carries; call() adds it, whoever calls the stub directly must.
    """

    def __init__(self, target: str, deadlines: Deadlines, security: ChannelSecurity) -> None:
        self.target = check_target(target)
        self.deadlines = deadlines
        self.metadata = security.metadata
        self._security = security
        self._opening = threading.Lock()
        self._parts: ChannelParts | None = None
        self._limits: Limits | None = None
        self._closed = False
        self._turns = Turns()

    @property
    def stub(self) -> Stub:
        """The methods of the service; RuntimeError as usable_parts()."""
        return self.usable_parts().stub

    def usable_parts(self) -> ChannelParts:
        """Return the channel and its methods, opened now if they were not.

        Raises:
            RuntimeError: the connection is closed, or was used by the process that this one was forked from.
        """
        if self._closed:
            raise RuntimeError("this client is closed; make another")
        parts = self._parts or self._opened()
        if parts.process != os.getpid():
            raise RuntimeError(
                "this client was used before the process forked, and its connection is the parent's; make another one here"
            )
        return parts

    def _opened(self) -> ChannelParts:
        """Open the channel, once for all threads that come here."""
        with self._opening:
            if self._parts is None:
                self._parts = ChannelParts(self.target, self._security)
            return self._parts

    def read(
        self,
        method: grpc.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        timeout: float | None,
    ) -> Response:
        """Make a call that reads; `timeout` None: deadlines.read."""
        return self.call(method, request, self.deadlines.read if timeout is None else timeout, repeatable=True)

    def bulk(
        self,
        method: grpc.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        timeout: float | None,
        *,
        repeatable: bool = False,
    ) -> Response:
        """Make a call about many items; `timeout` None: deadlines.bulk."""
        seconds = self.deadlines.bulk if timeout is None else timeout
        return self.call(method, request, seconds, repeatable=repeatable)

    def admin(
        self,
        method: grpc.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        timeout: float | None,
    ) -> Response:
        """Make a call about a whole collection; `timeout` None: deadlines.admin."""
        return self.call(method, request, self.deadlines.admin if timeout is None else timeout)

    def call(
        self,
        method: grpc.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        timeout: float,
        *,
        repeatable: bool = False,
        begun: BegunCall[Response] | None = None,
    ) -> Response:
        """Make one call, again where that is safe, within its deadline.

        Args:
            method: of the stub.
            request: its message.
            timeout: seconds for all attempts together.
            repeatable: doing the request twice is the same as doing it once.
            begun: the first attempt, if it is under way; its deadline is the one that holds.

        Raises:
            VecgateError: of the class that belongs to the status code.
            RuntimeError: as usable_parts().
        """
        self.usable_parts()
        end = begun.end if begun else time.monotonic() + check_timeout(timeout)
        backoff = pauses()
        while True:
            try:
                if begun is not None:
                    return begun.answer()
                return self._ask(method, request, end)
            except grpc.RpcError as failure:
                error = self.error_from(failure)
                remaining = end - time.monotonic()
                pause = pause_before_retry(error, backoff, repeatable=repeatable, remaining=remaining)
                # A client that is closed cancels its own calls.
                if pause is None or self._closed:
                    self._doubt_limits(error)
                    raise error from failure
            begun = None
            time.sleep(pause)

    def _ask(self, method: grpc.UnaryUnaryMultiCallable[Request, Response], request: Request, end: float) -> Response:
        with self._turns.turn(end):
            self.usable_parts()  # the client may have been closed while this call waited
            return method(request, timeout=max(end - time.monotonic(), 0.0), metadata=self.metadata)

    def begin(
        self,
        method: grpc.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        timeout: float,
    ) -> BegunCall[Response]:
        """Begin a call without waiting for its answer; call() takes it on from there.

        Raises:
            RuntimeError: as usable_parts().
        """
        self.usable_parts()
        return BegunCall(method, request, check_timeout(timeout), self.metadata)

    def stream(self, method: grpc.StreamStreamMultiCallable[Request, Response]) -> StreamCall[Request, Response]:
        """Prepare a call in which both sides send as they like; it begins with the with-block it is for.

        Raises:
            RuntimeError: as usable_parts().
        """
        self.usable_parts()
        return StreamCall(method, self.metadata, self.error_from)

    def error_from(self, failure: grpc.RpcError) -> VecgateError:
        """Build the error of a call that failed."""
        return error_from_call(failure, self.target, encrypted=self._security.credentials is not None)

    def pause(self, seconds: float) -> None:
        """Wait before another attempt."""
        time.sleep(seconds)

    def limits(self) -> Limits:
        """Return the server's limits, asked for once; and again after a request that kept to them passed one of them."""
        if self._limits is None:
            response = self.read(self.stub.GetServerInfo, GetServerInfoRequest(), None)
            self._limits = server_info_from(response).limits
        return self._limits

    def _doubt_limits(self, error: VecgateError) -> None:
        """Forget limits that a server which came back has changed."""
        if error.reason in PASSED_LIMIT:
            self._limits = None

    def close(self) -> None:
        """Close the channel; calls under way are cancelled. After a fork the child leaves its parent's channel alone."""
        self._closed = True
        if self._parts is not None and self._parts.process == os.getpid():
            self._parts.channel.close()


class Connected:
    """A part of the client's face: has the connection, adds methods."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
