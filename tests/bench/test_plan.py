"""Which ledger a command goes on with, and when that is another one."""

from typing import Any

import pytest
from workplace import Workplace

from bench.plan import Command, Plan, make_plan
from gpt.errors import ConfigError


def plan(study: str = "tiny.py", **options: Any) -> Plan:
    return make_plan(Command(study=study, overrides=options.pop("overrides", {}), **options))


@pytest.fixture
def tiny(bare: Workplace) -> Workplace:
    bare.write()
    return bare


@pytest.mark.usefixtures("tiny")
def test_the_number_of_seeds_is_the_study_s_or_the_command_s() -> None:
    assert (plan().seeds, plan().n_runs) == (2, 4)
    assert (plan(seeds=5).seeds, plan(seeds=5).n_runs) == (5, 10)


def test_what_is_asked_names_the_ledger_and_seeds_do_not(tiny: Workplace) -> None:
    (tiny.folder / "other.txt").write_text("text")
    plain = plan().ledger_name
    overrides: list[dict[str, str]] = [
        {"corpus": "pydocs"},
        {"corpus": "other.txt"},
        {"steps": "3"},
        {"steps": "4"},
        {"steps": "4", "corpus": "pydocs"},
    ]
    names = [plan(overrides=given).ledger_name for given in overrides]

    assert plain == plan(seeds=9).ledger_name == "tiny"
    assert len({plain, *names}) == 6
    assert all("/" not in name for name in names)
    assert names[0] == "tiny@pydocs"


def test_a_corpus_is_the_same_from_wherever_it_is_named(tiny: Workplace) -> None:
    given = [{"corpus": "song.txt"}, {"corpus": str(tiny.folder / "song.txt")}]
    first, second = (plan(overrides=overrides) for overrides in given)
    assert first.ledger_name == second.ledger_name
    assert [c.key for c in first.grid.cells] == [c.key for c in second.grid.cells]


def test_a_search_is_held_to_its_space_and_not_to_its_number_of_trials(tiny: Workplace) -> None:
    """Its sampler can't learn from another space; a grid's cells are known one by one."""
    assert plan().space == {}
    cell = """
dropout = trial.suggest_float("dropout", 0.0, HIGH)
return replace(BASE, model=replace(BASE.model, dropout=dropout))
"""
    asked = [("0.5", "n_trials=4"), ("0.5", "n_trials=8"), ("0.6", "n_trials=4")]
    spaces = []
    for high, trials in asked:
        tiny.write(cell=cell.replace("HIGH", high), options=f"search=Search({trials})")
        spaces.append(plan().space)
    assert spaces[0] == spaces[1] != spaces[2]
    tiny.write(cell=cell.replace("HIGH", "0.5"), options='"val_loss", search=Search(n_trials=4)')
    assert plan().space != spaces[0]


@pytest.mark.usefixtures("tiny")
def test_the_description_is_the_study_s_docstring() -> None:
    assert plan().description.startswith("Does a head more sing better?")


@pytest.mark.usefixtures("bare")
def test_a_search_takes_no_seeds() -> None:
    with pytest.raises(ConfigError, match="one seed but got --seeds 2"):
        plan("learning_rate_search", seeds=2)
