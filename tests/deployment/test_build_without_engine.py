"""deploy/build_without_engine.py does with a Dockerfile what an engine would."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from deploy.build_without_engine import Build, Instruction, UnsupportedStepError, instructions

Performed = Callable[..., Path]


@pytest.fixture
def performed(tmp_path: Path) -> Performed:
    """Perform a Dockerfile, and return the root of its last stage."""
    context = tmp_path / "context"
    (context / "source/__pycache__").mkdir(parents=True)
    (context / "source/file").write_text("text")
    (context / "secret").touch()
    (context / ".dockerignore").write_text("*\n!source\n")

    def perform(text: str, **arguments: str) -> Path:
        Build(context, tmp_path / "made", arguments).perform(instructions(text))
        return tmp_path / "made/root"

    return perform


def test_lines_are_continued_over_comments() -> None:
    text = "# first\nFROM a\nRUN one \\\n  # between\n    && two\n\nenv A=1\n"
    assert list(instructions(text)) == [
        Instruction("FROM", "a"),
        Instruction("RUN", "one     && two"),
        Instruction("ENV", "A=1"),
    ]


def test_a_stage_takes_over_another_one_and_copies_from_a_third(performed: Performed) -> None:
    root = performed(
        "ARG IMAGE=any\n"
        "FROM ${IMAGE} AS first\n"
        "ENV WHERE=/opt/tools\n"
        'RUN mkdir -p "$WHERE" && echo one > "$WHERE/made" && echo "$WHERE" > "$WHERE/path"\n'
        "FROM first AS second\n"
        'RUN cat "$WHERE/made" > "$WHERE/again"\n'
        "FROM ${IMAGE} AS last\n"
        "COPY --from=second --chown=1:1 /opt/tools/again /etc/tools/again\n"
    )
    assert (root / "etc/tools/again").read_text() == "one\n"
    assert not (root / "opt").exists()
    # What was made knows where it is: it is not moved while it is in use.
    assert (root.parent / "stages/first/opt/tools/path").read_text() == f"{root}/opt/tools\n"


def test_arguments_are_given_from_outside_and_end_with_their_stage(performed: Performed) -> None:
    text = (
        "FROM any AS first\nARG GIVEN=a\nARG LEFT=b\nENV KEPT=c\n"
        'RUN echo "$GIVEN$LEFT$KEPT" > one\n'
        'FROM first AS last\nRUN echo "[$GIVEN$LEFT$KEPT]" > two\n'
    )
    root = performed(text, GIVEN="x")
    assert ((root / "one").read_text(), (root / "two").read_text()) == ("xbc\n", "[c]\n")


def test_of_the_context_is_copied_what_may_be(performed: Performed) -> None:
    root = performed("FROM any AS only\nWORKDIR /work\nCOPY source inside\nCOPY source/file ./\n")
    assert sorted(path.name for path in (root / "work").rglob("*")) == ["file", "file", "inside"]
    assert (root / "work/file").read_text() == "text"


def test_what_the_dockerignore_keeps_out_is_not_copied(performed: Performed) -> None:
    with pytest.raises(UnsupportedStepError, match=r"\.dockerignore"):
        performed("FROM any AS only\nCOPY secret .\n")


def test_an_instruction_that_cannot_be_performed_is_refused(performed: Performed) -> None:
    with pytest.raises(UnsupportedStepError, match="ONBUILD"):
        performed("FROM any AS only\nONBUILD RUN true\n")


def test_commands_and_variables_are_those_of_the_last_stage(performed: Performed) -> None:
    root = performed(
        "FROM any AS base\n"
        "ENV PATH=/opt/bin:$PATH HOME=/tmp\n"
        'HEALTHCHECK --interval=1s CMD ["server", "/etc/one", "check"]\n'
        'ENTRYPOINT ["server", "/etc/one"]\n'
        "FROM base AS last\nWORKDIR /data\nUSER 1:1\n"
    )
    image = json.loads((root.parent / "image.json").read_text())
    assert image["entrypoint"] == ["server", f"{root}/etc/one"]
    assert image["healthcheck"] == ["server", f"{root}/etc/one", "check"]
    assert image["workdir"] == f"{root}/data"
    assert image["env"]["PATH"].startswith(f"{root}/opt/bin:")
    assert "/usr/bin" in image["env"]["PATH"].split(":")
