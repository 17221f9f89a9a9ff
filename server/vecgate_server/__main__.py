"""The start of vecgate-server and of python -m vecgate_server."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line of this process."""
    try:
        from vecgate_server import command  # noqa: PLC0415  # takes a while, in which Ctrl-C is no traceback either

        command.main()
    except KeyboardInterrupt:
        sys.stderr.write("vecgate-server: interrupted\n")
        sys.exit(130)
    except ModuleNotFoundError as missing:
        sys.stderr.write(
            f"vecgate-server: {missing.name} is not installed; the server and all it can use come with "
            "pip install 'vecgate[all]'\n"
        )
        sys.exit(1)


if __name__ == "__main__":
    main()
