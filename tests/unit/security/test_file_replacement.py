"""Files that are replaced as a whole, and who else may read them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vecgate_server.security.file_replacement import exposure, replace_file


@pytest.mark.parametrize(
    ("mode", "told"),
    [
        (0o600, ""),
        (0o400, ""),
        (0o640, "may be read"),
        (0o644, "may be read"),
        (0o660, "may be changed"),
        (0o602, "changed"),
    ],
)
def test_who_else_may_read_or_change_a_file_is_told(mode: int, told: str, tmp_path: Path) -> None:
    file = tmp_path / "keys.yaml"
    file.touch()
    file.chmod(mode)
    assert (told in exposure(file), bool(exposure(file))) == (True, bool(told))


def test_files_of_a_volume_of_kubernetes_are_the_pod_s_whatever_their_mode(tmp_path: Path) -> None:
    (tmp_path / "..1").mkdir()
    (tmp_path / "..1" / "keys.yaml").touch(0o644)
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "keys.yaml").symlink_to("..data/keys.yaml")
    assert exposure(tmp_path / "keys.yaml") == ""
    assert exposure(tmp_path / "nowhere") == ""


def test_a_replacement_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "keys.yaml"
    file.write_text("old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        replace_file(file, b"new")
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("keys.yaml", "old")]
