"""The stores for LangChain and Haystack are there when they are asked for, and not before."""

from __future__ import annotations

import subprocess
import sys

import pytest


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)


def test_importing_the_client_imports_no_framework() -> None:
    done = run(
        "import sys, vecgate, vecgate.client, vecgate.aio\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('langchain_core', 'haystack', 'pydantic')])\n"
        "print([name for name in sys.modules if name.startswith('vecgate.') and name.split('.')[1] in ('langchain', 'haystack')])"
    )
    assert done.stdout.split() == ["[]", "[]"], done.stderr


@pytest.mark.parametrize(("package", "framework"), [("langchain", "langchain_core"), ("haystack", "haystack")])
def test_a_missing_framework_is_told_by_the_name_of_the_extra(package: str, framework: str) -> None:
    done = run(f"import sys; sys.modules[{framework!r}] = None\nimport vecgate.{package}")
    assert done.returncode == 1
    assert f"pip install 'vecgate[{package}]'" in done.stderr.splitlines()[-1]
