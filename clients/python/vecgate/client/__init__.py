# Generated from vecgate/aio/__init__.py by clients/python/generate_client.py; edit that file.
"""The blocking client."""

from vecgate.client.face import Client

__all__ = ["Client"]
