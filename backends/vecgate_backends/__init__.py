"""Backends of vecgate: the contract, what passes through it, the registry, and the backends that come with it."""
