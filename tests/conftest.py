"""What every room of tests may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of larger data: VECGATE_TEST_DATA, or ../shared/data beside the repository."""
    folder = Path(os.environ.get("VECGATE_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"larger test data is not at {folder}; VECGATE_TEST_DATA names the folder")
    return folder
