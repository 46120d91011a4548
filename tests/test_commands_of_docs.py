"""Every command that a document names exists as it is written: subcommands, options and values.

A command of ours is parsed by its own click command, which runs nothing; pytest's options by
pytest, make's targets by make, pip's extras by pyproject.toml. The tutorial's commands are run.
What can't be checked is in a list, with the reason.
"""

import importlib
import re
import shlex
import shutil
import subprocess
import tomllib
import warnings
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "mlruns" / "README.md",
             *sorted((ROOT / "docs").glob("*.md"))]  # fmt: skip
TUTORIAL = ROOT / "docs" / "tutorial.md"
PROGRAMS = ("python", "pip", "pytest", "make", "mlflow", "ray", "git", "cd", ".")

UNCHECKED = {
    "ray start": "Ray is an extra, and this starts a process that stays",
    "pip install jupyterlab": "no part of ours; the reader's own tool",
    "python -m venv": "Python's own; the environment of the test is one already",
    ". .venv/bin/activate": "a command of the shell, which changes that shell alone",
    "python -O": "a way to start Python that docs/decisions.md talks about, not a command",
}
"""How a command begins that no parser sees -> why."""

NOT_RUN = {
    "pip": "it would install into the environment of the test",
    "python -m venv": UNCHECKED["python -m venv"],
    ".": UNCHECKED[". .venv/bin/activate"],
    "python -m bench.ui": "it serves until it is stopped",
}
"""How a command of the tutorial begins that is not run -> why."""


def commands_of(document: Path) -> list[list[str]]:
    """Command lines of code blocks and in backticks, as words."""
    text = document.read_text("utf-8").replace("\\\n", " ")
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    lines = [code for language, code in blocks if language in ("", "sh", "bash", "console")]
    lines += re.findall(r"^    (?! )(.*)", prose, flags=re.MULTILINE)
    spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]
    joined = "\n".join([*lines, *spans]).splitlines()
    parts = [part for line in joined if _is_command(line) for part in line.split("&&")]
    return [
        words for part in parts if (words := shlex.split(part.replace("…", ""), comments=True))
    ]


def _is_command(line: str) -> bool:
    program, _, rest = line.partition(" ")
    return program in PROGRAMS and (program in ("pytest", "make") or bool(rest))


COMMANDS = {shlex.join(words): words for document in DOCUMENTS for words in commands_of(document)}


def unchecked(words: list[str]) -> str | None:
    """Why a command can't be checked, if it can't."""
    return next((why for start, why in UNCHECKED.items() if begins(words, start)), None)


def begins(words: list[str], start: str) -> bool:
    return words[: len(start.split())] == start.split()


def main_of(module: str) -> click.Command:
    """The click command of `python -m module`."""
    found = importlib.import_module(module)
    if hasattr(found, "__path__"):
        found = importlib.import_module(f"{module}.__main__")
    command = found.main
    assert isinstance(command, click.Command)
    return command


def parse(
    command: click.Command, arguments: list[str], parent: click.Context | None = None
) -> None:
    """All options and arguments, down the subcommands; runs nothing but `--help`."""
    with command.make_context(command.name, list(arguments), parent=parent) as context:
        if isinstance(command, click.Group):
            rest = [*context._protected_args, *context.args]
            _, subcommand, rest = command.resolve_command(context, rest)
            assert subcommand is not None
            parse(subcommand, rest, context)


def check_python(words: list[str], _: pytest.Config) -> None:
    assert words[1] == "-m", "only modules are started"
    command = main_of(words[2])
    if words[3:]:  # else it may be named, not called
        parse(command, words[3:])


def check_mlflow(words: list[str], _: pytest.Config) -> None:
    with warnings.catch_warnings(action="ignore"):  # its own, as it is imported
        from mlflow.cli import cli

    parse(cli, words[1:])


def check_pytest(words: list[str], config: pytest.Config) -> None:
    """By the parser of this session, to which the plugins have given their options."""
    _, unknown = config._parser.parse_known_and_unknown_args(words[1:])
    assert not unknown


def check_make(words: list[str], _: pytest.Config) -> None:
    make = shutil.which("make")
    if make is None:
        pytest.skip("make is not installed")
    subprocess.run([make, "--dry-run", *words[1:]], cwd=ROOT, check=True, capture_output=True)


def check_pip(words: list[str], _: pytest.Config) -> None:
    """pip install -e '.[extras]'"""
    assert words[1:3] == ["install", "-e"]
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    [wanted] = re.findall(r"^\.(?:\[(.+)\])?$", words[3])
    assert set(filter(None, wanted.split(","))) <= extras["optional-dependencies"].keys()


CHECKS: dict[str, Callable[[list[str], pytest.Config], None]] = {
    "python": check_python,
    "mlflow": check_mlflow,
    "pytest": check_pytest,
    "make": check_make,
    "pip": check_pip,
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_documents_is_one(command: str, pytestconfig: pytest.Config) -> None:
    words = COMMANDS[command]
    if unchecked(words) is None:
        CHECKS[words[0]](words, pytestconfig)


def test_what_is_not_checked_is_there() -> None:
    """And no reason is longer listed than it is needed."""
    idle = [start for start in UNCHECKED if not any(begins(w, start) for w in COMMANDS.values())]
    assert not idle
    assert len(COMMANDS) > 20


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("python -m bench.study smoke --sedes 4", click.NoSuchOption),
        ("python -m bench.study smoke --seeds none", click.BadParameter),
        ("python -m bench.compare smoke bpe", click.MissingParameter),
        ("python -m bench.micro explian", click.UsageError),
        ("python -m bench.studies smoke", ModuleNotFoundError),
        ("mlflow serve", click.UsageError),
        ("pytest --benchmark-onyl", AssertionError),
        ("make quik", subprocess.CalledProcessError),
        ("pip install -e .[tset]", AssertionError),
    ],
)
def test_a_mistyped_command_would_be_found(
    line: str, error: type[Exception], pytestconfig: pytest.Config
) -> None:
    words = shlex.split(line)
    with pytest.raises(error):
        CHECKS[words[0]](words, pytestconfig)


def test_commands_are_found_wherever_a_document_has_them(tmp_path: Path) -> None:
    text = """
    pip install -e . && python -m bench.study smoke   # a comment
    python -m bench.study smoke \\
        --seeds 4

Say `make`, or `pytest
-k rule`, not `bench.study` or `python`.

```
make lint
```
```python
pytest = 1
```
"""
    document = tmp_path / "a.md"
    document.write_text(text, "utf-8")

    assert sorted(shlex.join(words) for words in commands_of(document)) == [
        "make", "make lint", "pip install -e .", "pytest -k rule", "python -m bench.study smoke",
        "python -m bench.study smoke --seeds 4",
    ]  # fmt: skip


@pytest.mark.slow
def test_the_tutorial_can_be_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an empty folder, each command after the other; studies have one seed."""
    text = TUTORIAL.read_text("utf-8")
    [study] = re.findall(r"```python\n(.+?)```", text, flags=re.DOTALL)
    assert "steps=300" in study
    (tmp_path / "dropout.py").write_text(study.replace("steps=300", "steps=2"), "utf-8")
    monkeypatch.chdir(tmp_path)
    ran = []
    for words in commands_of(TUTORIAL):
        if any(begins(words, start) for start in NOT_RUN):
            continue
        shorter = ["--seeds", "1"] if words[2] == "bench.study" else []
        result = CliRunner().invoke(
            main_of(words[2]), [*words[3:], *shorter], catch_exceptions=False
        )
        assert result.exit_code == 0, (words, result.output)
        ran.append(words[2])

    assert ran.count("bench.study") == 3
    assert {"bench.compare", "bench.sample", "bench.tokens"} <= {*ran}
