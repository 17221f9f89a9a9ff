"""The asynchronous client; vecgate.client is generated from this package by clients/python/generate_client.py."""

from vecgate.aio.face import AsyncClient

__all__ = ["AsyncClient"]
