"""What a server that cannot use its files says at its start."""

from __future__ import annotations

from pathlib import Path

import pytest

from vecgate_backends.errors import ConfigurationError
from vecgate_server.config_security import SecuritySettings
from vecgate_server.security.protection import Protection


@pytest.mark.parametrize(
    ("content", "fault"),
    [(None, "No such file or directory; `vecgate-server keys create`"), ("keys: 1", "keys: must be a list")],
)
def test_a_file_of_keys_that_cannot_be_used_is_told_by_its_setting(
    content: str | None, fault: str, tmp_path: Path
) -> None:
    path = tmp_path / "keys.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigurationError) as refused:
        Protection(SecuritySettings(keys_file=path))
    assert str(refused.value).startswith(f"security.keys_file: {path}: {fault}")
