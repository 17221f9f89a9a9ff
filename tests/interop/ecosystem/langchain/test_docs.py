"""The examples of docs/langchain.md run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vecgate import Client

PAGE = Path(__file__).parents[4] / "docs/langchain.md"
COLLECTION = "articles"


def test_the_examples_of_the_page_run(target: str, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    names: dict[str, object] = {}
    try:
        for block in blocks:
            exec(block.replace("localhost:50051", target), names)
    finally:
        with Client(target) as client:
            client.delete_collection(COLLECTION)
    printed = capsys.readouterr().out
    assert "  mat  The cat sat on the mat." in printed
    assert "rates" not in printed
