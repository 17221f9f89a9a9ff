"""The command line `vecgate`."""

from vecgate.cli.app import main

__all__ = ["main"]
