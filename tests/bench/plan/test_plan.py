"""Which ledger a command goes on with, and when that is another one."""

from dataclasses import replace
from typing import Any

import pytest
from workplace import Workplace

from bench.conclude.stats import LOOKS
from bench.plan.plan import Plan, Request, make_plan, under_budgets
from bench.spec import MAX_SEEDS
from gpt.errors import ConfigError


def plan(study: str = "tiny.py", **options: Any) -> Plan:
    return make_plan(Request(study=study, overrides=options.pop("overrides", {}), **options))


@pytest.fixture
def tiny(bare: Workplace) -> Workplace:
    bare.write()
    return bare


@pytest.mark.usefixtures("tiny")
def test_the_number_of_seeds_is_the_study_s_or_the_command_s() -> None:
    assert (plan().looks, plan().n_runs) == ((2,), 4)
    assert (plan(seeds=5).looks, plan(seeds=5).n_runs) == ((5,), 10)


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


@pytest.mark.usefixtures("tiny")
def test_a_setting_is_the_same_however_it_is_typed() -> None:
    typed = [{"n_layer": "2", "steps": "1000"}, {"steps": "1_000", "model.n_layer": "2"}]
    one, other = (plan(overrides=overrides).ledger_name for overrides in typed)
    assert one == other


@pytest.mark.usefixtures("tiny")
def test_the_title_says_in_words_what_was_set() -> None:
    assert plan().title == "tiny"
    assert plan(overrides={"n_layer": "2"}).title == "tiny · n_layer=2"
    both = {"steps": "1_000", "corpus": "song.txt", "model.n_layer": "2"}
    assert plan(overrides=both).title == "tiny · corpus=song.txt, n_layer=2, steps=1000"
    again = replace(plan(overrides={"n_layer": "2"}), part="test-abc", part_title="again")
    assert again.title == "tiny · n_layer=2 · again"


@pytest.mark.usefixtures("tiny")
def test_each_budget_is_planned_before_any_runs() -> None:
    request = Request(study="tiny.py", overrides={"n_layer": "2"})
    budgets = [{"steps": "5"}, {"tokens": "99"}]
    requests = under_budgets(request, budgets)

    assert list(requests) == ["5 steps", "99 tokens"]
    plans = [make_plan(one) for one in requests.values()]
    assert [str(p.grid.cells[0].config.train.budget) for p in plans] == ["5 steps", "99 tokens"]
    assert {p.grid.cells[0].config.model.n_layer for p in plans} == {2}
    assert under_budgets(request, []) == {"": request}
    with pytest.raises(ConfigError, match="got 0 tokens"):
        under_budgets(request, [{"steps": "5"}, {"tokens": "0"}])
    with pytest.raises(ConfigError, match="--budget gives the budget, and so does --set steps=7"):
        under_budgets(replace(request, overrides={"steps": "7"}), budgets)


def test_a_study_that_says_nothing_of_seeds_is_a_race(tiny: Workplace) -> None:
    tiny.write(options="")
    race = plan()
    assert (race.looks, race.n_runs) == (LOOKS, 4)
    assert [race.next_look(n) for n in LOOKS] == [*LOOKS[1:], LOOKS[-1]]
    assert plan(seeds=3).looks == (3,)
    tiny.write(options="seeds=3")
    assert plan(seeds="auto").looks == LOOKS


def test_one_cell_has_nothing_to_race_with(tiny: Workplace) -> None:
    tiny.write(cell="return BASE", options="")
    assert (plan().looks, plan().n_runs) == ((1,), 1)


@pytest.mark.usefixtures("tiny")
def test_what_matters_is_the_study_s_or_the_command_s() -> None:
    assert plan().study.matters is None
    assert plan(matters=0.02).study.matters == 0.02
    assert plan(matters=0.02).ledger_name == plan().ledger_name
    with pytest.raises(ConfigError, match="matters must be between 0 and 1 but got 2"):
        plan(matters=2.0)


def test_no_cell_of_a_sweep_looks_at_the_test_part(tiny: Workplace) -> None:
    cell = """
measure = choose(trial, "measure", [False, True])
corpus = replace(BASE.corpus, test_fraction=0.05)
return replace(BASE, corpus=corpus, train=replace(BASE.train, measure_test=measure))
"""
    tiny.write(cell=cell)
    with pytest.raises(ConfigError, match="measure_test is for one cell but got it with 2"):
        plan()
    tiny.write(cell=cell.replace("[False, True]", "[True]"))
    assert plan().grid.cells[0].config.train.measure_test


@pytest.mark.usefixtures("tiny")
def test_a_sweep_does_not_count_up_to_the_fresh_seeds() -> None:
    """Those that measure its best again, for they would not be fresh."""
    assert plan(seeds=MAX_SEEDS).looks == (MAX_SEEDS,)
    with pytest.raises(ConfigError, match=r"at most 1,000,000, .* but got 1,000,001"):
        plan(seeds=MAX_SEEDS + 1)


def test_a_race_needs_a_mark(tiny: Workplace) -> None:
    tiny.write(options='metric="seconds_to_target"')
    with pytest.raises(ConfigError, match="needs a target_loss in each cell but got None"):
        plan()
    assert plan(overrides={"target_loss": "2.5"}).n_runs == 4


@pytest.mark.usefixtures("bare")
def test_a_text_s_name_may_be_longer_than_a_file_s() -> None:
    assert plan("smoke", overrides={"corpus": "x" * 300}).grid.cells


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
def test_a_search_gives_each_point_one_seed_and_its_best_as_many_as_asked() -> None:
    search = plan("learning_rate_search", seeds=2)
    assert search.looks == (1,)
    assert search.study.seeds == 2
