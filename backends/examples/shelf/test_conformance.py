"""The shelf under the conformance suite: `pytest -p vecgate_backends.conformance.plugin test_conformance.py`."""

from vecgate_backends.conformance import *  # the tests, adopted whole
from vecgate_backends.conformance import Case

from vecgate_shelf import ShelfBackend, ShelfOptions

CASES = [Case("shelf", lambda directory: ShelfBackend(ShelfOptions(path=directory)))]
