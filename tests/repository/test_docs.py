"""The documents name what exists, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

import vecgate_server.errors  # noqa: F401  # brings the server's leaves into the tree
from vecgate_backends.errors import VecgateError
from vecgate_backends.registry import backend_class, backend_kinds
from vecgate_server.config import Settings, load_settings
from vecgate_server.status import STATUS_CODES, status_code

REPOSITORY = Path(__file__).parents[2]
DOCUMENTS = [
    REPOSITORY / "README.md",
    REPOSITORY / "CONTRIBUTING.md",
    REPOSITORY / "benchmarks/README.md",
    *sorted((REPOSITORY / "clients").glob("*/README.md")),
    *sorted((REPOSITORY / "docs").glob("*.md")),
]


def setting_paths(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from setting_paths(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name


def error_classes(root: type[VecgateError]) -> Iterator[type[VecgateError]]:
    for leaf in root.__subclasses__():
        yield leaf
        yield from error_classes(leaf)


@pytest.mark.parametrize("path", list(setting_paths(Settings)))
def test_every_setting_is_documented(path: str) -> None:
    assert f"`{path}`" in (REPOSITORY / "docs/configuration.md").read_text()


@pytest.mark.parametrize("kind", backend_kinds())
def test_every_option_of_a_backend_is_documented(kind: str) -> None:
    text = (REPOSITORY / "docs/configuration.md").read_text()
    missing = [name for name in backend_class(kind).Options.__dataclass_fields__ if f"`{name}`" not in text]
    assert not missing


def test_the_commented_file_holds_every_setting() -> None:
    document = yaml.safe_load((REPOSITORY / "deploy/vecgate.yaml").read_text())
    for path in setting_paths(Settings):
        section = document
        for key in path.split("."):
            assert key in section, f"deploy/vecgate.yaml lacks {path}"
            section = section[key]


def test_the_commented_file_says_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings(REPOSITORY / "deploy/vecgate.yaml") == load_settings(None)


def test_every_reason_is_documented_with_its_status() -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \| ([A-Z_]+) \|", (REPOSITORY / "docs/errors.md").read_text(), re.MULTILINE)
    raised = {(each.reason, status_code(each).name) for each in error_classes(VecgateError)}
    assert sorted(rows) == sorted(raised | {("INTERNAL", "INTERNAL")})


def test_it_is_documented_of_every_status_whether_to_send_again() -> None:
    document = (REPOSITORY / "docs/errors.md").read_text()
    _, table = document.split("| Status | Send it again? |")
    rows = re.findall(r"^\| ([A-Z_, ]+)[a-z ]* \|", table.split("\n\n")[0], re.MULTILINE)
    documented = {status.strip() for row in rows for status in row.split(",")}
    assert documented >= {code.name for code in STATUS_CODES.values()} | {"INTERNAL", "DEADLINE_EXCEEDED", "CANCELLED"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(REPOSITORY).as_posix())
def test_links_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", document.read_text())
    missing = [name for name in targets if "://" not in name and not (document.parent / name).exists()]
    assert not missing
