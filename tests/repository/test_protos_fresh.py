"""The checked-in stubs are what the pinned generator makes of the .proto files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
STUBS = REPOSITORY / "clients/python/vecgate/v1"


def generate(out: Path, plugins: list[str], protos: list[Path]) -> None:
    binaries = Path(sys.executable).parent
    subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", "-I", str(REPOSITORY / "protos")]
        + [f"--{plugin}_out={out}" for plugin in plugins]
        + [str(proto) for proto in protos],
        check=True,
        capture_output=True,
        timeout=100,
        env={**os.environ, "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}"},
    )


def test_stubs_are_fresh(tmp_path: Path) -> None:
    protos = sorted((REPOSITORY / "protos/vecgate/v1").glob("*.proto"))
    generate(tmp_path, ["python", "pyi"], protos)
    generate(tmp_path, ["grpc_python", "mypy_grpc"], [REPOSITORY / "protos/vecgate/v1/service.proto"])
    made = {path.name: path.read_text() for path in (tmp_path / "vecgate/v1").iterdir()}
    checked_in = {path.name: path.read_text() for path in STUBS.iterdir() if "_pb2" in path.name}
    assert sorted(made) == sorted(checked_in)
    stale = [name for name in made if made[name] != checked_in[name]]
    assert not stale, f"run `make protos`: {stale}"
