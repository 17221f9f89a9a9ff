"""Servers with TLS and API keys, what is stored there, and every request that one may make of them."""
