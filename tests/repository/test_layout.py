"""What must not be in the tree, and what must be in the wheel."""

from __future__ import annotations

import re
import subprocess
import zipfile
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def tracked_files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=30
    ).stdout.splitlines()
    return [REPOSITORY / name for name in listed if (REPOSITORY / name).is_file()]


def test_only_config_reads_the_environment() -> None:
    readers = [
        path.relative_to(REPOSITORY).as_posix()
        for path in tracked_files()
        if path.suffix == ".py"
        and path.parts[len(REPOSITORY.parts)] in {"server", "backends"}
        and re.search(r"\bos\.(environ|getenv)\b", path.read_text())
    ]
    assert set(readers) <= {"server/vecgate_server/config.py"}


def test_the_protos_hold_nothing_but_protos() -> None:
    assert {path.suffix for path in (REPOSITORY / "protos/vecgate").rglob("*") if path.is_file()} == {".proto"}


def test_the_wheel_holds_three_packages_the_protos_and_the_types(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {
        "vecgate",
        "vecgate_backends",
        "vecgate_server",
    }
    assert {
        f"{package}/py.typed" for package in ("vecgate", "vecgate/v1", "vecgate_backends", "vecgate_server")
    } <= set(names)
    assert "vecgate/protos/vecgate/v1/service.proto" in names
    assert "vecgate/v1/service_pb2_grpc.py" in names
