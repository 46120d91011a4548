"""A study by its name or by its file, from any folder; and what is wrong with a file, by line."""

import sys
from pathlib import Path

import pytest
from workplace import Workplace

from bench.cells.catalog import all_studies, find_study
from bench.cells.grid import enumerate_grid
from gpt.errors import ConfigError


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("tokeniser_sweep", "tokenizer_sweep"),
        ("vocabsweep", "vocab_sweep"),
        ("Smoke", "smoke"),
        ("original-quixote", "original_quixote"),
    ],
)
def test_a_mistyped_name_is_answered_with_the_nearest(typed: str, meant: str) -> None:
    with pytest.raises(ConfigError, match=rf"did you mean {meant}\? --list"):
        find_study(typed)


def test_each_study_is_found_by_its_name() -> None:
    for file in all_studies():
        assert find_study(file.name) == file


@pytest.mark.parametrize("name", ["a b", "x" * 65, "-x", "ü", "a'b"])
def test_a_file_s_name_must_be_fit_for_ledgers_and_experiments(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"{name}.py"
    path.touch()
    with pytest.raises(ConfigError, match="at most 64 letters"):
        find_study(str(path))


def test_a_file_is_found_from_any_folder(bare: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    bare.write()
    (bare.folder / "elsewhere").mkdir()
    monkeypatch.chdir(bare.folder / "elsewhere")
    file = find_study("../tiny.py")

    assert file.name == "tiny"
    assert file.question == "Does a head more sing better?"
    assert file.load().seeds == 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("\n1 / 0", "bad.py:2: ZeroDivisionError"),
        ("\n\nx = (", "bad.py:3: SyntaxError"),
        ("import nothing_of_this_name", "bad.py:1: ModuleNotFoundError"),
        (
            "from bench.spec import Study\nStudy(len, seeds=0)",
            "bad.py:2: .*seeds must be at least 1",
        ),
        ("import sys\nsys.exit(0)", "bad.py:2: a study must not end the program"),
        ("raise KeyError('x')", "bad.py:1: KeyError: 'x'"),
        ("\0", "bad.py"),
        ("from bench.spec import *\nStudy(len, metric='x')", "bad.py:2: metric must be one of"),
        ("study = None", "must define `study = Study.* but has NoneType"),
        ("", "must define `study = Study"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_its_line(
    bare: Workplace, text: str, says: str
) -> None:
    (bare.folder / "bad.py").write_text(text)
    with pytest.raises(ConfigError, match=says):
        find_study("bad.py").load()


def test_a_file_that_was_just_changed_is_read_anew(
    bare: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Same length, same second; and nothing is put beside it."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    seeds = [find_study(bare.write(options=f"seeds={n}")).load().seeds for n in (1, 2, 3)]

    assert seeds == [1, 2, 3]
    assert not (bare.folder / "__pycache__").exists()


def test_a_file_may_import_what_lies_beside_it(
    bare: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When it is loaded and in its cells, from any folder; nothing else is found there first."""
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    study = bare.write(cell="import beside_cell\nreturn beside_cell.BASE")
    path = bare.folder / study
    path.write_text(f"{path.read_text('utf-8')}\nfrom beside_load import SEEDS\n", "utf-8")
    (bare.folder / "beside_load.py").write_text("SEEDS = 3")
    (bare.folder / "beside_cell.py").write_text(
        "from gpt.config import RunConfig as R; BASE = R()"
    )
    (bare.folder / "elsewhere").mkdir()
    monkeypatch.chdir(bare.folder / "elsewhere")
    before = list(sys.path)
    loaded = find_study(str(path)).load()

    assert len(enumerate_grid(loaded, {}).cells) == 1
    assert sys.path == [*before, str(bare.folder)]
    for name in ("beside_load", "beside_cell"):
        monkeypatch.delitem(sys.modules, name)


def test_asking_for_the_question_runs_nothing(bare: Workplace) -> None:
    (bare.folder / "loud.py").write_text('"""What\nif?\n\nNot this."""\nraise SystemExit')
    assert find_study("loud.py").question == "What if?"
