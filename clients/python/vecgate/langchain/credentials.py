"""Keys as LangChain hands them over."""

from __future__ import annotations

from typing import Protocol


class SecretText(Protocol):
    """Text that does not show itself; pydantic.SecretStr is."""

    def get_secret_value(self) -> str:
        """Return the text."""


def plain_key(api_key: str | SecretText | None) -> str | None:
    """Take a key out of its wrapper, for the connection and for nothing else."""
    return api_key if api_key is None or isinstance(api_key, str) else api_key.get_secret_value()
