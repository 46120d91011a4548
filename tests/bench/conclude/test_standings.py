"""What is claimed of a ledger's runs, and what is refused."""

from dataclasses import replace

import pytest
from boards import (
    APART,
    FACTS,
    UNLIKE,
    ended,
    of_bad,
    order,
    run,
    runs,
    standings,
    verdicts,
)

from bench.conclude.standings import refuse_unlike
from bench.conclude.stats import Verdict
from bench.ledger.ledger import Entry
from bench.ledger.outcome import Outcome
from gpt.config import TokenizerConfig
from gpt.errors import ConfigError


def test_a_winner_with_evidence() -> None:
    assert verdicts(standings(runs(APART))) == {
        "good": Verdict.BETTER, "bad": Verdict.WORSE, "worst": Verdict.WORSE,
    }  # fmt: skip


def test_bits_per_byte_order_the_board_whatever_the_loss() -> None:
    """Begun worst first, and the lower loss is the worst's: it has the most bytes a token."""
    found = [
        run(cell, label, seed, value + 0.001 * seed, val_loss=loss)
        for cell, (label, value, loss) in enumerate(
            [("bpe", 2.3, 1.0), ("char", 2.1, 2.0), ("byte", 1.9, 3.0)]
        )
        for seed in range(5)
    ]

    assert order(standings(found)) == ["byte", "char", "bpe"]
    assert verdicts(standings(found))["byte"] is Verdict.BETTER
    assert order(standings(found, "val_loss")) == ["bpe", "char", "byte"]


def test_larger_is_better_for_speed_and_differences_are_ratios() -> None:
    found = standings(runs(APART), "tokens_per_second")

    assert order(found) == ["worst", "bad", "good"]
    assert verdicts(found)["worst"] is Verdict.BETTER
    low, high = found.leads[found.order[-1]].interval
    assert low < 0.191 < high  # ln(2.3 / 1.9)


def test_rule_09_no_winner_without_evidence_of_two_seeds() -> None:
    found = standings(runs(APART, 1))

    assert set(verdicts(found).values()) == {Verdict.UNDETERMINED}
    assert not found.settled


def test_cells_of_one_label_are_as_many_cells() -> None:
    """Labels are for people: what is one cell goes by its key."""
    found = [replace(entry, label="x") for entry in runs(APART)]
    cells = standings(found)

    assert len(cells.order) == 3
    assert len(cells.leads) == 2
    assert sorted(cells.verdicts.values()) == ["better", "worse", "worse"]
    assert len(set(cells.names.values())) == 3
    assert all(name == f"x {cell}" for cell, name in cells.names.items())


def test_the_best_must_beat_every_other() -> None:
    found = standings(runs({"a": 1.9, "b": 1.9, "c": 2.3}))

    assert list(verdicts(found).values()) == ["undetermined", "undetermined", "worse"]


def spread_out(label: str, cell: int, value: float, spread: float) -> list[Entry]:
    """Five seeds around a value."""
    deviations = (-1.0, -0.5, 0.0, 0.5, 1.0)
    return [run(cell, label, seed, value + spread * d) for seed, d in enumerate(deviations)]


def test_the_best_must_beat_those_behind_the_runner_up_too() -> None:
    """The third's seeds lie so far apart that it may be the best."""
    found = standings(
        [
            *spread_out("a", 0, 1.90, 0.001),
            *spread_out("b", 1, 1.95, 0.001),
            *spread_out("c", 2, 1.98, 0.05),
        ]
    )

    leads = {found.names[cell]: lead.verdict for cell, lead in found.leads.items()}
    assert leads == {"b": Verdict.BETTER, "c": Verdict.UNDETERMINED}
    assert verdicts(found)["a"] is Verdict.UNDETERMINED
    assert verdicts(found)["b"] is Verdict.WORSE
    assert not found.settled


def test_a_tie_with_all_that_are_not_beaten_settles_it() -> None:
    found = standings(
        [
            run(cell, label, seed, value + 0.02 * (seed % 3))
            for seed in range(5)
            for cell, (label, value) in enumerate({"a": 1.9, "b": 1.9001, "c": 2.3}.items())
        ]
    )

    assert verdicts(found) == {"a": "tie", "b": "tie", "c": "worse"}
    assert found.settled


def test_one_cell_alone_is_compared_with_nothing() -> None:
    found = standings(runs({"only": 2.0}))

    assert found.verdicts == {}
    assert found.words == {}
    assert found.settled


@pytest.mark.parametrize("outcome", [Outcome.DIVERGED, Outcome.UNSOUND])
def test_a_cell_of_which_a_seed_diverged_is_not_best_however_good_the_others(
    outcome: Outcome,
) -> None:
    found = standings(ended(runs(APART, seeds=8), outcome, "good", 1, 4, 6))

    assert order(found) == ["bad", "worst"]
    assert verdicts(found) == {"bad": "better", "worst": "worse"}
    words = {found.names[cell]: words for cell, words in found.words.items()}
    assert words == {
        "good": f"{outcome} in 3 of 8 seeds", "bad": "better", "worst": "worse",
    }  # fmt: skip


def test_a_run_that_failed_or_was_stopped_says_nothing_of_its_cell() -> None:
    found = runs(APART, seeds=8)
    found = ended(found, Outcome.FAILED, "good", 0)
    found = ended(found, Outcome.INTERRUPTED, "good", 1)

    assert verdicts(standings(found))["good"] is Verdict.BETTER
    assert standings(found).flaws == {}


def test_of_how_many_seeds_some_diverged_counts_those_that_ended() -> None:
    found = ended(runs(APART, seeds=8), Outcome.DIVERGED, "good", 1)
    found = ended(ended(found, Outcome.INTERRUPTED, "good", 2), Outcome.DIVERGED, "good", 3)

    assert list(standings(found).flaws.values()) == ["diverged in 2 of 7 seeds"]


def test_a_race_to_a_loss_needs_no_equal_budgets_for_it_ends_when_it_is_won() -> None:
    found = [
        replace(e, summary={**e.summary, "seconds_to_target": e.summary["val_bits_per_byte"]})
        for e in map(of_bad(summary={"n_bytes": 900_000.0}), runs(APART))
    ]
    raced = standings(found, "seconds_to_target")

    assert raced.refusal is None
    assert order(raced) == ["good", "bad", "worst"]


def test_lossy_runs_are_compared_with_none_that_kept_their_text() -> None:
    lossy = of_bad(config={"tokenizer": "original-unigram", "vocab_size": "500"})

    with pytest.raises(ConfigError, match="can't be compared with lossy ones"):
        refuse_unlike([lossy(entry) for entry in runs(APART)], "val_bits_per_byte")


def test_where_every_cell_has_diverged_none_leads_and_more_seeds_change_nothing() -> None:
    found = runs(APART)
    for cell in APART:
        found = ended(found, Outcome.DIVERGED, cell, 2)
    cells = standings(found)

    assert cells.order == []
    assert cells.verdicts == {}
    assert set(cells.words.values()) == {"diverged in 1 of 5 seeds"}
    assert cells.settled


def test_what_did_not_complete_or_lost_text_is_not_ranked() -> None:
    lossy = TokenizerConfig(kind="original-unigram", vocab_size=500)
    found = ended(runs({**APART, "died": 1.0, "lost": 1.0}), Outcome.FAILED, "died", *range(5))
    found = [
        replace(e, config=replace(e.config, tokenizer=lossy), facts=FACTS | {"flags": "lossy"})
        if e.label == "lost"
        else e
        for e in found
    ]
    cells = standings(found)

    assert [*verdicts(cells)] == [*APART]
    others = [cells.words[cell] for cell, name in cells.names.items() if name not in APART]
    assert others == ["not ranked", "not ranked"]


@pytest.mark.parametrize("what", UNLIKE)
def test_unlike_runs_are_not_ranked(what: str) -> None:
    edit, metric, message = UNLIKE[what]
    found = standings([edit(entry) for entry in runs(APART)], metric)

    assert found.verdicts == {}
    assert order(found) == [*APART]
    assert set(found.words.values()) == {"not ranked"}  # what an earlier board said is taken back
    assert message in str(found.refusal)


def test_rule_12_losses_of_unlike_machines_may_be_ranked() -> None:
    edited = [of_bad(facts={"device_name": "loom"})(entry) for entry in runs(APART)]

    assert verdicts(standings(edited))["good"] == "better"


def test_rule_12_unlike_devices_may_be_raced_where_the_study_asks_for_them() -> None:
    raced = of_bad(config={"device": "cuda"}, facts={"device_name": "loom"})
    found = standings([raced(entry) for entry in runs(APART)], "tokens_per_second")

    assert verdicts(found)["worst"] == "better"
