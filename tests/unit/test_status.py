"""Every error has a status code and a reason of its own."""

from __future__ import annotations

from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from urllib.parse import quote

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo

import vecgate_server.errors  # noqa: F401  # brings the server's leaves into the tree
from vecgate_backends.errors import CollectionNotFoundError, ExhaustedError, InvalidArgumentError, VecgateError
from vecgate_server.errors import NotFiniteError
from vecgate_server.status import internal_status, item_error, status_code, status_message


def error_classes(root: type[VecgateError]) -> Iterator[type[VecgateError]]:
    for leaf in root.__subclasses__():
        # Classes that other test modules define are not part of the tree.
        if leaf.__module__.startswith("vecgate_"):
            yield leaf
            yield from error_classes(leaf)


ERRORS = list(error_classes(VecgateError))


@pytest.mark.parametrize("error", ERRORS)
def test_every_error_has_a_status_code(error: type[VecgateError]) -> None:
    assert status_code(error) not in {grpc.StatusCode.OK, grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL}


def test_every_reason_is_told_apart() -> None:
    repeated = [reason for reason, times in Counter(error.reason for error in ERRORS).items() if times > 1]
    assert not repeated


def test_the_root_of_the_tree_has_no_status_code() -> None:
    with pytest.raises(LookupError, match="VecgateError"):
        status_code(VecgateError)


def test_a_leaf_has_the_code_of_its_branch() -> None:
    assert status_code(NotFiniteError) is status_code(InvalidArgumentError) is grpc.StatusCode.INVALID_ARGUMENT


def test_a_status_tells_reason_domain_and_paths() -> None:
    status = status_message(InvalidArgumentError.at("options.top_k", "must be at least 1"))
    info, request = ErrorInfo(), BadRequest()
    assert status.details[0].Unpack(info)
    assert status.details[1].Unpack(request)
    assert len(status.details) == 2
    assert (status.code, status.message) == (3, "options.top_k: must be at least 1")
    assert (info.reason, info.domain) == ("INVALID_ARGUMENT", "vecgate")
    assert [(each.field, each.description) for each in request.field_violations] == [
        ("options.top_k", "must be at least 1")
    ]


def test_a_status_tells_when_to_come_back() -> None:
    retry = RetryInfo()
    assert status_message(ExhaustedError("full", retry_after=1.25)).details[1].Unpack(retry)
    assert (retry.retry_delay.seconds, retry.retry_delay.nanos) == (1, 250_000_000)


def test_an_item_s_error_says_the_same_as_a_call_s() -> None:
    error = item_error(CollectionNotFoundError("there is no collection 'a'"))
    assert (error.code, error.reason, error.message) == (5, "COLLECTION_NOT_FOUND", "there is no collection 'a'")


def test_a_fault_of_the_server_tells_nothing_but_the_request_id() -> None:
    status = internal_status("abc")
    assert (status.code, status.message) == (
        13,
        "internal error; the server's log has the cause under request id abc",
    )


LONGEST = "\N{GRINNING FACE}" * 1_000_000


@pytest.mark.parametrize("path", ["path", LONGEST, f"records[3].metadata[{LONGEST}].values[7]"])
def test_a_status_fits_the_8_kib_of_trailing_metadata_whatever_was_refused(path: str) -> None:
    status = status_message(InvalidArgumentError.at(path, f"there is no {LONGEST} here"))
    trailing = len(quote(status.message)) + len(b64encode(status.SerializeToString()))
    assert trailing < 8_192 - 512
    request = BadRequest()
    assert status.details[1].Unpack(request)
    field = request.field_violations[0].field
    assert (field[:10], field[-10:]) == (path[:10], path[-10:])
    assert item_error(InvalidArgumentError.at(path, LONGEST)).ByteSize() < 8_192
