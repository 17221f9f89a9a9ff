"""Perform the steps of deploy/Dockerfile without a container engine: a directory stands in the place of an image.

    python3 deploy/build_without_engine.py build DIRECTORY
    python3 deploy/build_without_engine.py run DIRECTORY
    python3 deploy/build_without_engine.py run DIRECTORY --healthcheck

For machines on which no engine runs, and for the test that what the Dockerfile says works. Any user may do it, and needs Python 3.11 or
newer, a shell and pip's index, nothing else. The Dockerfile is the only description of the steps: its RUN lines go to the shell as they
are written. A path from / is one below DIRECTORY, which works because RUN lines name paths by variables; what is no step but a property
of the image (USER, VOLUME, EXPOSE) has no effect, and the base image is the Python that runs this.

Every stage is built in DIRECTORY/root, so that what it makes keeps its paths when another stage copies it, and is then moved to
DIRECTORY/stages. The last one stays: `run` starts its ENTRYPOINT with its ENV alone.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).resolve().parents[1]
DOCKERFILE = REPOSITORY / "deploy/Dockerfile"
VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)\})")
PASSED_THROUGH = re.compile(r"(https?|no)_proxy|PIP_\w+|SSL_CERT_FILE", re.IGNORECASE)
"""How pip reaches its index from here: the variables of this process that steps see too."""
PROPERTIES = {"USER", "VOLUME", "EXPOSE", "STOPSIGNAL", "LABEL"}


class UnsupportedStepError(Exception):
    """The Dockerfile says something that has no meaning here."""


class Instruction(NamedTuple):
    """One instruction: its first word in capitals, and the rest with continued lines joined."""

    word: str
    rest: str


@dataclass(frozen=True)
class Stage:
    """What a stage knows beside its files."""

    env: Mapping[str, str] = field(default_factory=dict)
    args: Mapping[str, str] = field(default_factory=dict)
    workdir: str = "/"
    entrypoint: Sequence[str] = ()
    healthcheck: Sequence[str] = ()

    @property
    def variables(self) -> dict[str, str]:
        """ARG and ENV together; an ENV wins."""
        return {**self.args, **self.env}


def instructions(text: str) -> Iterator[Instruction]:
    """Read a Dockerfile: https://docs.docker.com/reference/dockerfile/#format."""
    lines = (line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#"))
    whole = ""
    for line in lines:
        whole += line.removesuffix("\\") if line.endswith("\\") else line
        if not line.endswith("\\"):
            word, _, rest = whole.strip().partition(" ")
            yield Instruction(word.upper(), rest.strip())
            whole = ""


def expanded(text: str, variables: Mapping[str, str]) -> str:
    """Put values in the place of $NAME and ${NAME}; unknown names are empty."""
    return VARIABLE.sub(lambda found: variables.get(found[1] or found[2], ""), text)


def assignments(text: str) -> Iterator[tuple[str, str]]:
    """Yield the pairs of an ENV; values hold neither blanks nor quotes here."""
    for pair in text.split():
        name, equals, value = pair.partition("=")
        if not equals:
            raise UnsupportedStepError(f"ENV is written NAME=VALUE: {text}")
        yield name, value


class Build:
    """One build: a context, a directory, and the stages made so far."""

    def __init__(self, context: Path, directory: Path, arguments: Mapping[str, str]) -> None:
        """Nothing is made yet; `arguments` are those of --build-arg."""
        self._context, self._root, self._stages = context, directory / "root", directory / "stages"
        self._image = directory / "image.json"
        self._given, self._global = arguments, dict(arguments)
        self._known: dict[str, Stage] = {}
        self._name, self._stage = "", Stage()
        allowed = (context / ".dockerignore").read_text().splitlines()
        self._let_in = [context / line[1:] for line in allowed if line.startswith("!")]
        self._base = directory / "base"

    def perform(self, steps: Iterable[Instruction]) -> None:
        """Perform all; the last stage is left in root.

        Raises:
            UnsupportedStepError: a step cannot be performed here.
            subprocess.CalledProcessError: a RUN line failed.
        """
        self._base.mkdir(parents=True)
        for name in ("python", "python3"):
            (self._base / name).symlink_to(Path(sys.executable).resolve())
        for step in steps:
            print(f"{self._name or '-'}: {step.word} {step.rest}", flush=True)
            if step.word == "FROM":
                self._begin(step.rest)
            elif step.word == "ARG" and not self._name:
                name, _, value = step.rest.partition("=")
                self._global.setdefault(name, value)
            else:
                self._step(step)
        record = {"env": {**self._bare(), **self._stage.env}, "workdir": str(self._at(self._stage.workdir))}
        commands = {"entrypoint": self._stage.entrypoint, "healthcheck": self._stage.healthcheck}
        located = {name: [self._located(word) for word in words] for name, words in commands.items()}
        self._image.write_text(json.dumps(record | located, indent=2))

    def _begin(self, rest: str) -> None:
        """FROM IMAGE AS NAME: put what was built aside, and begin with nothing or with another stage."""
        if self._name:
            self._known[self._name] = self._stage
            self._root.rename(self._stages / self._name)
        source, _, self._name = expanded(rest, self._global).partition(" AS ")
        self._stages.mkdir(exist_ok=True)
        if source in self._known:
            shutil.copytree(self._stages / source, self._root, symlinks=True)
            self._stage = replace(self._known[source], args={})
        else:
            self._root.mkdir()
            self._stage = Stage(env={"PATH": os.pathsep.join([str(self._base), "/usr/bin", "/bin"])})
        self._at("/tmp").mkdir(exist_ok=True)  # noqa: S108  # the stage's own

    def _step(self, step: Instruction) -> None:
        stage = self._stage
        match step.word:
            case "ARG":
                name, _, value = step.rest.partition("=")
                self._stage = replace(stage, args={**stage.args, name: self._given.get(name, value)})
            case "ENV":
                new = {name: self._value(value) for name, value in assignments(step.rest)}
                self._stage = replace(stage, env={**stage.env, **new})
            case "WORKDIR":
                self._stage = replace(stage, workdir=step.rest)
                self._at(step.rest).mkdir(parents=True, exist_ok=True)
            case "COPY":
                self._copy(step.rest.split())
            case "RUN":
                subprocess.run(
                    ["/bin/sh", "-c", step.rest],
                    cwd=self._at(stage.workdir),
                    env=self._environment(stage.variables),
                    check=True,
                )
            case "ENTRYPOINT":
                self._stage = replace(stage, entrypoint=json.loads(step.rest))
            case "HEALTHCHECK":
                self._stage = replace(stage, healthcheck=json.loads(step.rest.partition(" CMD ")[2]))
            case word if word not in PROPERTIES:
                raise UnsupportedStepError(f"{word} is not known here")

    def _copy(self, words: Sequence[str]) -> None:
        flags = dict(word[2:].split("=") for word in words if word.startswith("--"))
        *sources, target = [word for word in words if not word.startswith("--")]
        for name in sources:
            source = self._source(name, flags.get("from"))
            goal = self._at(target)
            if target.endswith("/"):
                goal /= source.name
            goal.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                ignored = shutil.ignore_patterns("__pycache__") if "from" not in flags else None
                shutil.copytree(source, goal, symlinks=True, dirs_exist_ok=True, ignore=ignored)
            else:
                shutil.copy2(source, goal)

    def _source(self, name: str, stage: str | None) -> Path:
        if stage:
            return self._stages / stage / name.lstrip("/")
        source = self._context / name
        if not any(source.is_relative_to(allowed) for allowed in self._let_in):
            raise UnsupportedStepError(f"COPY {name}: .dockerignore keeps it out")
        return source

    def _at(self, path: str) -> Path:
        """Where a path of the image lies."""
        if path.startswith("/"):
            return self._root / path.lstrip("/")
        return self._at(self._stage.workdir) / path

    def _located(self, word: str) -> str:
        return str(self._at(word)) if word.startswith("/") else word

    def _value(self, text: str) -> str:
        """Return the value of an ENV: each path from / in it lies below the root."""
        parts = [self._located(part) if part.startswith("/") else part for part in text.split(":")]
        return expanded(":".join(parts), self._stage.variables)

    def _environment(self, variables: Mapping[str, str]) -> dict[str, str]:
        """Return what a process of the stage sees."""
        passed = {name: value for name, value in os.environ.items() if PASSED_THROUGH.fullmatch(name)}
        return {**self._bare(), **passed, **variables}

    def _bare(self) -> dict[str, str]:
        return {"HOME": str(self._at("/tmp")), "LANG": "C.UTF-8"}  # noqa: S108  # the stage's own


def build(directory: Path, arguments: Sequence[str]) -> int:
    """Make DIRECTORY, which must be new or empty."""
    if directory.exists() and any(directory.iterdir()):
        print(f"{directory} is not empty; name a new directory", file=sys.stderr)
        return 2
    given = dict(argument.split("=", 1) for argument in arguments)
    try:
        Build(REPOSITORY, directory.resolve(), given).perform(instructions(DOCKERFILE.read_text()))
    except (UnsupportedStepError, subprocess.CalledProcessError) as failed:
        print(f"the Dockerfile cannot be performed: {failed}", file=sys.stderr)
        return 1
    return 0


def run(directory: Path, *, healthcheck: bool) -> int:
    """Become what a container of the image would run; variables VECGATE_... of this process are those of `docker run -e`.

    The configuration names its paths from /, so a copy of it names them from DIRECTORY.
    """
    image = json.loads((directory / "image.json").read_text())
    root = directory.resolve() / "root"
    given = {name: value for name, value in os.environ.items() if name.startswith("VECGATE_")}
    command = [*image["healthcheck" if healthcheck else "entrypoint"]]
    place = command.index("--config") + 1
    written = Path(command[place]).read_text()
    moved = root / "tmp" / "vecgate.yaml"
    moved.write_text(re.sub(r": /(?=\w)", f": {root}/", written))
    command[place] = str(moved)
    os.chdir(image["workdir"])
    environment = image["env"] | given
    program = shutil.which(command[0], path=environment["PATH"])
    if program is None:
        raise FileNotFoundError(command[0])
    os.execve(program, command, environment)


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(required=True, dest="command")
    building = commands.add_parser("build", help="perform the steps")
    building.add_argument("directory", type=Path)
    building.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE")
    running = commands.add_parser("run", help="start the server from what was built")
    running.add_argument("directory", type=Path)
    running.add_argument("--healthcheck", action="store_true", help="run the image's HEALTHCHECK instead")
    given = parser.parse_args()
    if given.command == "build":
        return build(given.directory, given.build_arg)
    return run(given.directory, healthcheck=given.healthcheck)


if __name__ == "__main__":
    sys.exit(main())
