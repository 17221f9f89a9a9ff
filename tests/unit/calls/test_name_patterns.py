"""Patterns of collection names: what they match, whatever they look like and whoever names the collection."""

from __future__ import annotations

import subprocess
import sys

import pytest

from vecgate_server.calls.name_patterns import LONGEST_NAME, NamePatterns

HOSTILE = """
from vecgate_server.calls.name_patterns import LONGEST_NAME, NamePatterns
assert "a" * LONGEST_NAME not in NamePatterns(["*a" * 20 + "*b"])
"""


@pytest.mark.parametrize(
    ("patterns", "name", "among"),
    [
        (["docs"], "docs", True),
        (["docs"], "docs2", False),
        (["docs"], "my-docs", False),
        (["docs-*"], "docs-", True),
        (["docs-*"], "docs-a-b", True),
        (["docs-*"], "docs", False),
        (["*-eu"], "docs-eu", True),
        (["*-eu"], "docs-eu-2", False),
        (["a*b*c"], "abbbc", True),
        (["a*b*c"], "acb", False),
        (["doc?"], "docs", True),
        (["doc?"], "doc", False),
        (["docs", "notes-*"], "notes-1", True),
        (["docs", "notes-*"], "docs-1", False),
        (["*"], "anything", True),
        (["docs*"], "docs\n", True),
        (["docs"], "docs\n", False),
        (["d*"], "d" * (LONGEST_NAME + 1), False),
    ],
)
def test_a_name_is_among_them_if_a_pattern_matches_all_of_it(patterns: list[str], name: str, among: bool) -> None:
    assert (name in NamePatterns(patterns)) is among


@pytest.mark.parametrize("wrong", ["", "Docs", "a|b", "[ab]", "docs.", "x" * (LONGEST_NAME + 1)])
def test_a_pattern_that_no_name_can_match_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="matches no collection"):
        NamePatterns([wrong])


def test_a_pattern_of_many_stars_does_not_keep_the_server_busy_with_a_name_that_nearly_matches() -> None:
    # In a process of its own, which can be ended: an expression holds the interpreter until it is done.
    assert subprocess.run([sys.executable, "-c", HOSTILE], timeout=20, check=False).returncode == 0
