"""Every study that comes with the suite opens with its question and is a space of valid cells."""

import ast
from pathlib import Path

import optuna
import pytest

from bench.cells.catalog import StudyFile, all_studies
from bench.cells.grid import cells_of
from bench.conclude.standings import refuse_unfair_metric
from bench.spec import FixedTrial

STUDIES = all_studies()


@pytest.fixture(params=STUDIES, ids=lambda file: file.name)
def file(request: pytest.FixtureRequest) -> StudyFile:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return request.param


def test_the_promised_studies_are_there() -> None:
    promised = {
        "tokenizer_sweep",
        "vocab_sweep",
        "block_size_sweep",
        "architecture_sweep",
        "device_sweep",
        "learning_rate_search",
        "original_shakespeare",
        "original_quixote",
        "smoke",
    }
    assert promised <= {file.name for file in STUDIES}


def test_it_opens_with_its_question(file: StudyFile) -> None:
    assert file.question.split("?")[0].strip()
    assert "?" in file.question
    assert isinstance(ast.parse(Path(file.path).read_text("utf-8")).body[0], ast.Expr)


def test_its_space_is_of_valid_cells(file: StudyFile) -> None:
    study = file.load()
    grid = cells_of(study, {})

    assert grid.cells
    assert grid.dropped == []
    assert len({cell.key for cell in grid.cells}) == len(grid.cells)
    assert len({cell.label for cell in grid.cells}) == len(grid.cells)
    refuse_unfair_metric(study.metric, [cell.config for cell in grid.cells])


def test_its_cells_are_pure(file: StudyFile) -> None:
    study = file.load()
    for cell in cells_of(study, {}).cells:
        twice = [study.cell(FixedTrial(cell.params)) for _ in range(2)]
        assert twice[0] == twice[1]
        assert twice[0].cell_key == cell.key
