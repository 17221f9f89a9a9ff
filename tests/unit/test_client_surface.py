"""What `import vecgate` promises."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import vecgate

PUBLIC_METHODS = sorted(
    name for name, _ in inspect.getmembers(vecgate.AsyncClient, inspect.isfunction) if not name.startswith("_")
)


def test_every_public_name_can_be_imported() -> None:
    assert [name for name in vecgate.__all__ if getattr(vecgate, name) is None] == []
    assert set(vecgate.__all__) <= set(dir(vecgate))


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Klient'"):
        _ = vecgate.Klient


def test_importing_the_package_loads_nothing_heavy() -> None:
    probe = (
        "import sys, vecgate, vecgate.v1; "
        "print(sorted({'grpc', 'numpy', 'google.protobuf', 'rich', 'click'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_the_client_does_not_load_the_server() -> None:
    probe = (
        "import sys, vecgate; vecgate.Client, vecgate.AsyncClient; import vecgate.cli; "
        "print(sorted(name for name in sys.modules if name.split('.')[0] in "
        "{'vecgate_server', 'vecgate_backends', 'faiss', 'torch', 'pyarrow', 'pydantic'}))"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", PUBLIC_METHODS)
def test_the_blocking_and_the_asynchronous_method_are_one(name: str) -> None:
    asynchronous, blocking = getattr(vecgate.AsyncClient, name), getattr(vecgate.Client, name)
    assert not inspect.iscoroutinefunction(blocking)
    assert list(inspect.signature(asynchronous).parameters) == list(inspect.signature(blocking).parameters)


@pytest.mark.parametrize("name", PUBLIC_METHODS)
def test_every_method_documents_its_arguments(name: str) -> None:
    method = getattr(vecgate.Client, name)
    parameters = [parameter for parameter in inspect.signature(method).parameters if parameter != "self"]
    documentation = inspect.getdoc(method) or ""
    assert [parameter for parameter in parameters if f"    {parameter}: " not in documentation] == []


def test_an_asynchronous_client_without_an_event_loop_says_so() -> None:
    with pytest.raises(RuntimeError, match="inside a coroutine"):
        vecgate.AsyncClient()
