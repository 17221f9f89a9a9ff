"""The configuration file as plain data: YAML, read strictly."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from vecgate_server.config_faults import InvalidSettingsError


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key that stands twice in one mapping, where YAML libraries silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is no text", key_node.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} stands twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file whose root is a mapping; an empty file is an empty mapping.

    Raises:
        InvalidSettingsError: the file cannot be read or is not such YAML; one line with the line number.
    """
    try:
        return yaml_mapping(path.read_bytes(), path)
    except OSError as fault:
        raise InvalidSettingsError(f"{path}: {fault.strerror or fault}") from None


def yaml_mapping(content: bytes, path: Path) -> dict[str, Any]:
    """Understand what a YAML file holds whose root is a mapping.

    Raises:
        InvalidSettingsError: it is no such YAML; one line with the path and the line number.
    """
    try:
        document = yaml.load(content.decode(), Loader=_StrictLoader)  # noqa: S506  # a SafeLoader
    except UnicodeDecodeError:
        raise InvalidSettingsError(f"{path}: not a text file in UTF-8") from None
    except yaml.MarkedYAMLError as fault:
        line = f"line {fault.problem_mark.line + 1}: " if fault.problem_mark else ""
        raise InvalidSettingsError(f"{path}: {line}{fault.problem}") from None
    except yaml.YAMLError as fault:
        raise InvalidSettingsError(f"{path}: {' '.join(str(fault).split())}") from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise InvalidSettingsError(f"{path}: the file must hold keys and values, not {type(document).__name__}")
    return document
