"""What a ledger says that its study is about."""

import shlex
from pathlib import Path

import optuna
import pytest
from click.testing import CliRunner

from bench.ledger.entries import Reading
from bench.plan.about import ABOUT_NOTE, About, about, command_of
from bench.plan.plan import Request, make_plan
from bench.study import main


def request(**given: object) -> Request:
    return Request(**{"study": "smoke", "overrides": {}, **given})  # type: ignore[arg-type]


def test_a_note_gives_back_what_it_was_made_from() -> None:
    asked = request(overrides={"n_layer": "1"}, matters=0.01)
    made = about(asked, make_plan(asked))

    ledger = optuna.create_study()
    ledger.set_user_attr(f"note {ABOUT_NOTE}", made.to_note())
    assert About.read(Reading(entries=[], looks=[], study=ledger)) == made
    assert About.read(Reading(entries=[], looks=[], study=optuna.create_study())) is None
    assert made.question.startswith("Does everything work on this machine?")
    assert made.title == "smoke · n_layer=1"
    assert made.matters == 0.01


def test_the_parameters_of_each_cell_are_kept() -> None:
    asked = request(study="architecture_sweep")
    made = about(asked, make_plan(asked))

    assert {(p["n_head"], p["n_layer"]) for p in made.params.values()} == {
        (n_head, n_layer) for n_head in (1, 2, 4, 8) for n_layer in (1, 2, 4, 8)
    }


@pytest.mark.parametrize(
    "typed",
    [
        "smoke",
        "smoke --corpus 'a song.txt' --set n_layer=1 --set dropout=0.1",
        "smoke --seeds 3 --matters 0.01",
        "smoke --seeds auto",
    ],
)
def test_the_command_asks_for_the_same_again(
    typed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a song.txt").write_text("la " * 1000, "utf-8")
    asked: list[Request] = []
    monkeypatch.setattr("bench.plan.show.show_plan", lambda *_, **__: None)
    monkeypatch.setattr("bench.plan.foresee.foresee_plan", lambda one, *_, **__: asked.append(one))

    first = CliRunner().invoke(main, [*shlex.split(typed), "--plan"])
    assert first.exit_code == 0, first.output
    command = shlex.split(command_of(asked[0]))
    assert command[:3] == ["python", "-m", "bench.study"]
    CliRunner().invoke(main, [*command[3:], "--plan"])

    assert asked[1] == asked[0]
