"""Write the blocking client, vecgate/client/, from the asynchronous one, vecgate/aio/.

    python clients/python/generate_client.py           write it
    python clients/python/generate_client.py --check   exit 1 and name what is stale

The two have the same methods, so one is enough to maintain: words are replaced, and ruff lays the lines out anew.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parent / "vecgate"
SOURCE = PACKAGE / "aio"
TARGET = PACKAGE / "client"

REPLACEMENTS = (
    (r'^"""The asynchronous client;.*"""$', '"""The blocking client."""'),
    (r"\ban AsyncClient\b", "a Client"),
    (r"\bvecgate\.aio\b", "vecgate.client"),
    (r"\basync_calls\b", "calls"),
    (r"\basync_query_batches\b", "query_batches"),
    (r"\b(open|check)_async_(channel|target)\b", r"\1_\2"),
    (r"\bgrpc\.aio\.AioRpcError\b", "grpc.RpcError"),
    (r"\bgrpc\.aio\b", "grpc"),
    (r"\basyncio\.sleep\b", "time.sleep"),
    (r"^import asyncio\n", ""),
    (r"\basync (def|for|with) ", r"\1 "),
    (r"\bawait ", ""),
    (r"\b__a(enter|exit)__\b", r"__\1__"),
    (r"\bAsync([A-Z]\w*)", r"\1"),
    (r"^# ruff: noqa: ASYNC109 .*\n", ""),
    (r"\n\n        Raises:\n            RuntimeError: no event loop runs\.\n", "\n"),
)
"""Patterns of words, applied in order; what they make of comments and docstrings is meant too."""


def generated_files() -> dict[Path, str]:
    """Return the text of every file of the blocking client, by path."""
    files = {}
    for source in sorted(SOURCE.glob("*.py")):
        text = source.read_text(encoding="utf-8")
        for pattern, replacement in REPLACEMENTS:
            text = re.sub(pattern, replacement, text, flags=re.MULTILINE)
        summary, rest = text.split("\n", 1)
        note = f"# Generated from vecgate/aio/{source.name} by clients/python/generate_client.py; edit that file."
        files[TARGET / source.name] = formatted(f"{note}\n{summary}\n{rest}", source.name)
    return files


def formatted(text: str, name: str) -> str:
    """Sort the imports and lay out the lines, as every other file has them."""
    path = str(TARGET / name)
    for arguments in (["check", "--select", "I", "--fix", "--quiet"], ["format", "--quiet"]):
        text = subprocess.run(  # noqa: S603  # our own formatter with fixed arguments
            [sys.executable, "-m", "ruff", *arguments, "--stdin-filename", path, "-"],
            input=text,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    return text


def main() -> int:
    """Write the files, or with --check compare them; return the exit status."""
    TARGET.mkdir(exist_ok=True)  # ruff sorts imports by what packages there are
    files = generated_files()
    surplus = set(TARGET.glob("*.py")) - files.keys()
    if "--check" in sys.argv[1:]:
        stale = [path for path, text in files.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
        for path in sorted([*stale, *surplus]):
            sys.stderr.write(f"stale: {path}: run `make client`\n")
        return 1 if stale or surplus else 0
    for path, text in files.items():
        path.write_text(text, encoding="utf-8")
    for path in surplus:
        path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
