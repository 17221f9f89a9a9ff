"""Backends by name."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

from vecgate_backends import registry
from vecgate_backends.errors import ConfigurationError
from vecgate_backends.memory import MemoryBackend
from vecgate_backends.registry import EXTRAS, backend_class, backend_kinds


def test_the_backends_that_come_with_vecgate_are_found() -> None:
    assert backend_class("memory") is MemoryBackend
    assert {"faiss", "memory"} <= set(backend_kinds())
    assert backend_kinds() == sorted(backend_kinds())


@pytest.mark.parametrize("kind", backend_kinds())
def test_options_are_a_frozen_dataclass_with_defaults(kind: str) -> None:
    options = backend_class(kind).Options
    assert dataclasses.is_dataclass(options)
    first = dataclasses.fields(options)[:1]
    for option in first:
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(options(), option.name, None)
    assert options() == options()


def test_an_unknown_kind_is_refused_with_those_that_exist() -> None:
    with pytest.raises(ConfigurationError, match=r"unknown backend kind 'fais'.*faiss.*memory"):
        backend_class("fais")


@pytest.mark.parametrize(
    ("kind", "cure"),
    [
        ("faiss", r"pip install 'vecgate\[faiss\]'"),
        ("qdrant", r"pip install 'vecgate\[qdrant\]'"),
        ("outside", "install the package 'no_such_vendor'"),
    ],
)
def test_a_missing_vendor_is_named_with_its_cure(kind: str, cure: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def entries(*, group: str, name: str) -> list[EntryPoint]:
        return [EntryPoint(name, "no_such_vendor.module:Backend", group)]

    monkeypatch.setattr(registry, "entry_points", entries)
    with pytest.raises(ConfigurationError, match=f"backend '{kind}' needs 'no_such_vendor'.*{cure}"):
        backend_class(kind)


def test_every_extra_belongs_to_an_installed_backend() -> None:
    assert set(EXTRAS) <= set(backend_kinds())


def test_asking_for_one_backend_imports_no_other_vendor() -> None:
    program = (
        "import sys; from vecgate_backends.registry import backend_class, backend_kinds;"
        "backend_kinds(); backend_class('memory');"
        "print(sorted({'faiss', 'qdrant_client', 'lark', 'grpc', 'pytest', 'hypothesis'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
