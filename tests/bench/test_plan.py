"""Which ledger a command goes on with, and when that is another one."""

from typing import Any

import pytest
from workplace import CELL, Workplace

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
    assert first.identity == second.identity


def test_a_grid_s_identity_changes_with_its_cells_alone(tiny: Workplace) -> None:
    before = plan().identity
    tiny.write(options="seeds=4")
    assert plan().identity == before
    tiny.write(cell=CELL.replace("[1, 2]", "[2, 1]"))
    assert plan().identity == before  # another order of the same cells
    tiny.write(cell=CELL.replace("[1, 2]", "[1, 2, 4]"))
    assert plan().identity != before


@pytest.mark.usefixtures("tiny")
def test_the_description_is_the_study_s_docstring() -> None:
    assert plan().description.startswith("Does a head more sing better?")


@pytest.mark.usefixtures("bare")
def test_a_search_takes_no_seeds() -> None:
    with pytest.raises(ConfigError, match="one seed but got --seeds 2"):
        plan("learning_rate_search", seeds=2)
