"""The command as it is typed: help, list, plan, and whole studies with their ends."""

import io
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import click
import pytest
from rich.console import Console
from workplace import CELL, Finished, Workplace

from bench.cells.catalog import all_studies
from bench.cells.grid import Cell
from bench.conclude.looks import as_looks
from bench.conclude.standings import Standings
from bench.conclude.stats.spending import share_due
from bench.conduct.conductor import run_study
from bench.conduct.confirmation import confirmation
from bench.ledger.ledger import Ledger
from bench.plan.plan import Plan, Request
from bench.spec import Study
from bench.study import main
from gpt.config import RunConfig
from gpt.device import available_devices

ABSENT = next(device for device in ("mps", "cuda") if device not in available_devices())


def test_help_and_list_answer_without_loading_torch_or_mlflow() -> None:
    program = (
        "import sys; from click.testing import CliRunner; from bench.study import main\n"
        "for flag in ('--help', '--list'):\n"
        "    assert CliRunner().invoke(main, [flag]).exit_code == 0\n"
        "print(*sorted({'torch', 'mlflow'} & set(sys.modules)), end='')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_help_names_the_options_and_the_exit_codes(bare: Workplace) -> None:
    result = bare.run("--help")
    assert result.exit_code == 0
    for parameter in main.params:
        assert isinstance(parameter, click.Argument) or parameter.opts[-1] in result.stdout
    for code in ("0 done", "2 the", "3 the", "4 the", "5 finished", "130 interrupted"):
        assert code in " ".join(result.stdout.split())


def test_list_shows_every_study_and_what_it_asks(bare: Workplace) -> None:
    shown = " ".join(bare.run("--list").stdout.split())
    for file in all_studies():
        assert file.name in shown
        assert file.question.split()[0] in shown


def test_a_record_is_closed_whatever_becomes_of_what_is_printed(place: Workplace) -> None:
    class FullPipe(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device", text)

    request = Request(study=place.write(options="seeds=1"), overrides={})
    with pytest.raises(OSError, match="No space left"):
        run_study(request, Console(file=FullPipe()))
    [launch] = place.records("launch")
    assert launch.info.status == "FINISHED"
    assert "n_head 1" in launch.data.tags["mlflow.note.content"]


def test_plan_shows_the_cells_and_trains_nothing(bare: Workplace) -> None:
    before = set(bare.folder.iterdir())
    result = bare.run("--plan", bare.write(), "--seeds", 3)

    assert result.exit_code == 0
    said = (
        "tiny: 6 runs = 2 cells × 3 seeds",
        "n_head 1",
        "n_head 2",
        "12 steps",
        "Time: not known",
    )
    for words in said:
        assert words in result.stdout
    assert set(bare.folder.iterdir()) == before | {bare.folder / "tiny.py"}


def test_a_whole_study_ends_with_its_board_and_where_to_browse_it(finished: Finished) -> None:
    result = finished.result
    assert result.exit_code == 0, result.output
    ready, *ended = result.stderr.splitlines()  # no terminal, no bars
    assert ready.startswith("1 text ready")
    assert [line.split()[0] for line in ended] == ["[1/4]", "[2/4]", "[3/4]", "[4/4]"]
    assert all("bits/byte" in line for line in ended)
    for words in (
        "bits/byte",
        "n_head 1",
        "n_head 2",
        "behind the best",
        "python -m bench.ui tiny",
    ):
        assert words in result.stdout
    assert "Not complete" not in result.stdout


def test_the_same_command_again_has_nothing_to_do(
    finished: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = finished.place
    monkeypatch.chdir(place.folder)
    monkeypatch.setenv("GPT_BENCH_CACHE", str(place.folder / "cache"))
    before = {run.info.run_id for run in place.records()}
    again = place.run("tiny.py", "--workers", 2)

    assert again.exit_code == 0
    assert {run.info.run_id for run in place.records()} == before
    board = finished.result.stdout.partition("Browse it")[0]
    assert again.stdout.partition("Browse it")[0] == board


def test_a_plan_forecasts_what_is_left(
    finished: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = finished.place
    monkeypatch.chdir(place.folder)
    monkeypatch.setenv("GPT_BENCH_CACHE", str(place.folder / "cache"))

    def said(*options: object) -> str:
        result = place.run("tiny.py", "--plan", *options)
        assert result.exit_code == 0, result.output
        return result.stdout

    assert "Nothing is left to run: " in said()
    assert "Time: " not in said()
    with monkeypatch.context() as patch:  # what is left is to be recorded or said anew
        patch.setattr("bench.conduct.conductor.is_finished", lambda *_: False)
        assert "Nothing is left to run: " in said()
    assert re.search(r"Time: about \d+ s more on this .* for 2 runs", said("--seeds", 3))
    assert "Done already: 4 runs." in said("--seeds", 3)
    assert "Done already" not in said("--set", "steps=13")
    fresh = said("--fresh")
    assert "Nothing is left" not in fresh
    assert "Done already" not in fresh


def test_a_plan_shows_what_each_budget_gives(bare: Workplace) -> None:
    result = bare.run("--plan", bare.write(), "--budget", "steps=5", "--budget", "tokens=1_000")

    assert result.exit_code == 0
    for words in ("tiny · steps=5: 4 runs", "5 steps", "tiny · tokens=1000: 4 runs", "1,000 tok"):
        assert words in result.stdout
    assert "12 steps" not in result.stdout


def test_the_list_and_a_plan_say_which_texts_are_downloaded(bare: Workplace) -> None:
    lines = {line.split()[0]: line for line in bare.run("--list").stdout.splitlines()}
    assert "tinyshakespeare (downloaded once)" in lines["nanogpt"]
    assert lines["smoke"].split()[-1] == "pydocs"
    assert "Text: tinyshakespeare (downloaded once)." in bare.run("nanogpt", "--plan").stdout
    assert "Text: pydocs." in bare.run("smoke", "--plan").stdout


def test_a_vocabulary_that_the_text_can_not_give_is_an_infeasible_cell(place: Workplace) -> None:
    """With it a point that makes no config, and a loss that becomes infinite."""
    cell = """
kind = choose(trial, "kind", ["char", "bpe", "wide", "hot"])
if kind == "bpe":
    return replace(BASE, tokenizer=TokenizerConfig(kind="bpe", vocab_size=30_000))
if kind == "wide":
    return replace(BASE, model=replace(BASE.model, n_embd=17))
if kind == "hot":
    optimizer = OptimizerConfig(learning_rate=1e30, schedule="constant", grad_clip=0.0)
    return replace(BASE, optimizer=optimizer)
return BASE
"""
    result = place.run(place.write(cell=cell, options="seeds=1"))

    assert result.exit_code == 5
    outcomes = {entry.label: (str(entry.outcome), entry.reason) for entry in place.entries()}
    assert outcomes["char"] == ("complete", "")
    assert outcomes["bpe"][0] == "infeasible"
    assert "30000" in outcomes["bpe"][1].replace(",", "")
    assert outcomes["hot"][0] == "diverged"
    assert "at step" in outcomes["hot"][1]
    assert "wide" not in outcomes
    for words in ("Not complete", "diverged: hot", "infeasible: bpe", "dropped: wide"):
        assert words in result.stdout
    board = result.stdout.partition("Not complete")[0]
    assert "hot" not in board
    statuses = {run.data.tags["cell"]: run.info.status for run in place.records()}
    assert statuses == {"char": "FINISHED", "bpe": "FAILED", "hot": "FAILED"}


def test_in_a_sweep_of_devices_an_absent_one_is_an_infeasible_cell(place: Workplace) -> None:
    cell = f"""
device = choose(trial, "device", ["cpu", "{ABSENT}"])
return replace(BASE, train=replace(BASE.train, device=device))
"""
    result = place.run(place.write(cell=cell, options="seeds=1"))

    assert result.exit_code == 5
    found = {entry.label: (str(entry.outcome), entry.reason) for entry in place.entries()}
    assert found == {"cpu": ("complete", ""), ABSENT: ("infeasible", f"no such device: {ABSENT}")}


def test_vocab_size_is_no_question_to_a_char_tokenizer(bare: Workplace) -> None:
    cell = """
vocab_size = choose(trial, "vocab_size", [512, 1024, 2048])
return replace(BASE, tokenizer=TokenizerConfig(kind="char", vocab_size=vocab_size))
"""
    result = bare.run("--plan", bare.write(cell=cell))
    assert "2 runs = 1 cell × 2 seeds" in result.stdout


@pytest.mark.slow
def test_a_grid_that_changes_keeps_its_runs_and_fresh_begins_anew(place: Workplace) -> None:
    first = place.run(place.write(options="seeds=1"))
    assert first.exit_code == 0, first.output
    runs = len(place.records())
    other = place.write(cell=CELL.replace("[1, 2]", "[1, 4]"), options="seeds=1")

    result = place.run(other)
    assert result.exit_code == 0
    assert (
        "The grid has changed: n_head 2 left out (1 run, kept in the ledger and in MLflow); "
        "n_head 4 new." in " ".join(result.stdout.split())
    )
    assert len(place.records()) == runs + 1
    assert "n_head 2" not in result.stdout.partition("The grid has changed")[0]
    assert {entry.label for entry in place.entries()} == {"n_head 1", "n_head 4"}

    assert place.run(other, "--fresh").exit_code == 0
    assert len(place.records()) == runs + 3
    assert {entry.label for entry in place.entries()} == {"n_head 1", "n_head 4"}


def test_a_text_that_changed_is_refused_by_name(place: Workplace) -> None:
    study = place.write(options="seeds=1")
    assert place.run(study).exit_code == 0
    song = place.folder / "song.txt"
    song.write_text(song.read_text("utf-8") + "And that is all.\n", "utf-8")

    result = place.run(study)
    assert result.exit_code == 2
    assert f"but the text {song} changed since it was begun" in result.stderr
    assert "--fresh" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.slow
def test_a_search_prunes_what_lags_behind(place: Workplace) -> None:
    """Half of the points learn nothing, and say so at their first evaluation."""
    cell = """
learning_rate = trial.suggest_float("learning_rate", 1e-9, 1e-2, log=True)
optimizer = OptimizerConfig(learning_rate=learning_rate, warmup_fraction=0.0)
return replace(BASE, optimizer=optimizer)
"""
    options = (
        "search=Search(n_trials=8, n_finalists=0, "
        "pruner=lambda: HyperbandPruner(min_resource=1, max_resource=4, reduction_factor=2))"
    )
    study = place.write(cell=cell, options=options, steps=300)  # long enough to be stopped
    result = place.run(study, "--workers", 1)

    assert result.exit_code == 0, result.output
    entries = place.entries()
    assert len(entries) == 8
    assert {str(entry.outcome) for entry in entries} == {"complete", "pruned"}
    pruned = [run for run in place.records() if run.data.tags["outcome"] == "pruned"]
    assert len(pruned) == sum(str(entry.outcome) == "pruned" for entry in entries)
    assert all("final/loss" not in run.data.metrics for run in pruned)
    assert all("pruned at step" in run.data.tags["reason"] for run in pruned)


@pytest.mark.slow
def test_the_best_of_a_search_are_raced_on_fresh_seeds(place: Workplace) -> None:
    cell = """
learning_rate = trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True)
return replace(BASE, optimizer=OptimizerConfig(learning_rate=learning_rate))
"""
    options = "search=Search(n_trials=4, n_finalists=2)"
    study = place.write(cell=cell, options=options, steps=4)
    result = place.run(study, "--seeds", "2")

    assert result.exit_code == 0, result.output
    searched, raced = place.entries(), place.entries("tiny.finals")
    best = sorted(searched, key=lambda entry: entry.summary["val_bits_per_byte"])[:2]
    assert {entry.cell for entry in raced} == {entry.cell for entry in best}
    assert sorted(entry.config.train.seed for entry in raced) == [1, 1, 2, 2]
    assert {entry.config.train.seed for entry in searched} == {0}
    assert "tiny · the best 2 again" in result.stdout
    again = place.run(study, "--seeds", "2")
    assert "Nothing was left to do" in again.stdout
    assert len(place.entries("tiny.finals")) == 4


@pytest.mark.slow
def test_a_cell_that_another_one_beats_gets_no_further_seed(place: Workplace) -> None:
    """Three that learn nothing are dropped after two seeds, and that is no gap."""
    cell = """
learning_rate = choose(trial, "learning_rate", [1e-9, 2e-9, 3e-9, 1e-2, 1.1e-2])
optimizer = OptimizerConfig(learning_rate=learning_rate, warmup_fraction=0.0)
return replace(BASE, optimizer=optimizer)
"""
    study = place.write(cell=cell, options="", steps=100)
    result = place.run(study, "--matters", "0.3")

    assert result.exit_code == 0, result.output
    n_runs = Counter(entry.label for entry in place.entries())
    assert len(n_runs) == 5
    assert all(n_runs[f"learning_rate {rate}"] == 2 for rate in ("1e-09", "2e-09", "3e-09"))
    assert max(n_runs.values()) > 2  # two that are alike
    assert "worse, dropped after 2 seeds" in " ".join(result.stdout.split())
    verdicts = {run.data.tags["cell"]: run.data.tags["verdict"] for run in place.records()}
    assert verdicts["learning_rate 1e-09"].startswith("worse")
    assert verdicts["learning_rate 0.01"] == "tie"
    again = place.run(study, "--matters", "0.3")
    assert again.stdout.endswith("Nothing was left to do.\n")


@pytest.mark.slow
def test_a_further_look_adds_to_the_first_even_of_a_fresh_study_and_is_paid_for(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two looks at a fresh ledger: nothing set aside, and no run twice."""
    monkeypatch.setattr("bench.plan.plan.LOOKS", (2, 3))
    monkeypatch.setattr("bench.conclude.standings.Standings.settled", False)
    study = place.write("looks", options="", steps=2)
    result = place.run(study, "--seeds", "auto", "--fresh")

    assert result.exit_code == 0
    assert [path.name for path in place.folder.glob("mlruns/ledger/looks*.journal")] == [
        "looks.journal"
    ]
    boards = [" ".join(part.split()) for part in result.stdout.split("\nlooks")]
    assert ["1 degree of" in board for board in boards] == [True, False]
    assert ["2 degrees" in board for board in boards] == [False, True]
    with Ledger.open(place.journal("looks"), Study(lambda _: RunConfig()), overrides={},
                     identity={}) as ledger:  # fmt: skip
        looks = as_looks(ledger.looks)
    assert [(look.n_seeds, look.share) for look in looks] == [
        (2, share_due(2)),
        (3, pytest.approx(share_due(3) - share_due(2))),
    ]
    again = place.run(study, "--seeds", "auto").stdout  # nothing is run, and one board is shown
    assert again.count("bits/byte") == 1
    assert boards[1].partition("Browse")[0] in " ".join(again.split())


def test_a_confirmation_that_is_not_complete_is_said_and_is_not_done(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverging(plan: Plan, leader: Cell, standings: Standings) -> Plan:
        again = confirmation(plan, leader, standings)
        [cell] = again.grid.cells
        hot = {"learning_rate": "1e30", "schedule": "constant", "grad_clip": "0.0"}
        cells = [replace(cell, config=cell.config.override(hot))]
        return replace(again, grid=replace(again.grid, cells=cells))

    monkeypatch.setattr("bench.conduct.conductor.confirmation", diverging)
    cell = CELL.replace(
        "replace(BASE,", "replace(BASE, corpus=replace(BASE.corpus, test_fraction=0.1),"
    )
    result = place.run(place.write(cell=cell, options="seeds=1", steps=4))

    assert result.exit_code == 5
    assert "could not be measured on the test part (1 diverged)" in " ".join(result.stdout.split())
    cells = {run.data.tags["cell"] for run in place.records()}
    assert cells > {"n_head 1", "n_head 2"}
    [other] = cells - {"n_head 1", "n_head 2"}
    assert other.endswith(" (confirmation)")
