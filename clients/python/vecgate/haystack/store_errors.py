"""vecgate's errors as Haystack's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from haystack.document_stores.errors import DocumentStoreError
from haystack.errors import FilterError

from vecgate.errors import InvalidArgumentError, VecgateError


@contextmanager
def as_haystack_errors() -> Iterator[None]:
    """Turn what goes wrong at the server into a FilterError or a DocumentStoreError; its cause is the VecgateError."""
    try:
        yield
    except InvalidArgumentError as error:
        raise (FilterError if _is_about_filter(error) else DocumentStoreError)(str(error)) from error
    except VecgateError as error:
        raise DocumentStoreError(str(error)) from error


def _is_about_filter(error: InvalidArgumentError) -> bool:
    """Whether a wrong field lies in a filter: at options.filter.all_of, not at metadata["filter"]."""
    steps = [re.split(r"[.\[]", re.sub(r'"[^"]*"', "", violation.field)) for violation in error.violations]
    return error.reason.startswith("FILTER") or any("filter" in path for path in steps)
