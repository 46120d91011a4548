"""Every study that comes with the suite opens with its question and is a space of valid cells."""

import ast
from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from bench.cells.catalog import StudyFile, all_studies
from bench.cells.grid import cells_of
from bench.conclude.standings import refuse_unfair_metric
from bench.ledger.outcome import Outcome
from bench.run.messages import Finished, Folders, Train
from bench.run.worker import perform
from bench.spec import FixedTrial
from gpt.config import Budget, CorpusConfig, RunConfig
from studies import tokenizer_sweep

ROOT = Path(__file__).parents[3]
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


def test_evaluations_on_the_way_are_a_curve_and_cheap() -> None:
    """A byte trained on costs three passes over it, forward, backward to inputs and to weights."""
    train = tokenizer_sweep.BASE.train
    assert train.budget.bytes
    assert train.val_part_bytes
    on_the_way = train.evaluations * train.val_part_bytes

    assert train.evaluations >= 10
    assert on_the_way <= 0.05 * (3 * train.budget.bytes + on_the_way)


@pytest.mark.slow
def test_its_cells_train(file: StudyFile, tmp_path: Path) -> None:
    """The first two that can run here, with their contexts but narrow, for two steps."""
    text = (ROOT / "docs" / "measurement.md").read_text("utf-8")
    (tmp_path / "text.txt").write_text(2 * text, "utf-8")  # no character is held out alone
    cells = cells_of(file.load(), {}).cells
    for config in [cell.config for cell in cells if cell.config.train.device != "cuda"][:2]:
        vocab_size = config.tokenizer.vocab_size and 400
        small = config.replace(
            corpus=CorpusConfig(name=str(tmp_path / "text.txt"), val_fraction=0.2),
            tokenizer=replace(config.tokenizer, vocab_size=vocab_size),
            model=replace(config.model, n_layer=1, n_embd=16, n_head=2),
            train=replace(
                config.train, budget=Budget(steps=2), batch_size=2, evaluations=1,
                sample_tokens=4, device="cpu", dtype="float32", compile=False, target_loss=None,
            ),
        )  # fmt: skip
        finished = train_once(small, tmp_path)
        assert finished.outcome is Outcome.COMPLETE, finished.reason


def train_once(config: RunConfig, folder: Path) -> Finished:
    messages: list[object] = []
    folders = Folders(cache=folder / "cache", corpora_dir=None)
    task = Train(config=config, folders=folders, folder=folder / "run")
    perform(task, lambda message: messages.append(message) is None)
    assert isinstance(messages[-1], Finished)
    return messages[-1]
