"""The sentences under a board: what they say, and when they say nothing."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from boards import run, runs, standings

from bench.conclude import doubts, remarks
from bench.conclude.standings import Standings
from bench.conclude.stats import Look, Race, Rule
from bench.ledger.entries import Entry
from gpt.config import TokenizerConfig

KINDS = {
    "byte": TokenizerConfig(kind="byte"),
    "unigram 512": TokenizerConfig(kind="unigram", vocab_size=512),
}


def costing(costs: Mapping[str, Mapping[str, float]]) -> list[Entry]:
    """Runs of two tokenizers whose costs are given."""
    return [
        replace(
            entry,
            config=replace(entry.config, tokenizer=KINDS[entry.label]),
            summary={**entry.summary, **costs[entry.label]},
        )
        for entry in runs({"unigram 512": 1.9, "byte": 2.1})
    ]


BYTE = {"tokens_per_second": 46_000, "train_seconds": 15.0, "n_params": 100_000,
        "n_tokens": 500_000}  # fmt: skip
UNIGRAM = {"tokens_per_second": 20_000, "train_seconds": 10.0, "n_params": 220_000}


def test_where_tokens_a_second_mislead_it_is_said_by_how_much() -> None:
    said = remarks.say_seconds(standings(costing({"byte": BYTE, "unigram 512": UNIGRAM})))

    assert said.startswith(
        "Compare train s, not tokens/s: byte does 2.3 × the tokens/s of unigram 512 but takes "
        "1.5 × its seconds for the same text"
    )


def test_of_unlike_amounts_of_text_or_one_order_nothing_is_said() -> None:
    more = UNIGRAM | {"n_bytes": 450_000.0}
    slower = UNIGRAM | {"train_seconds": 33.0}
    noisy = UNIGRAM | {"n_tokens": 500_000}

    for other in (more, slower, noisy):
        found = standings(costing({"byte": BYTE, "unigram 512": other}))
        assert remarks.say_seconds(found) == ""


def test_the_leader_s_cost_is_set_beside_the_cheapest_cells() -> None:
    quick = BYTE | {"train_seconds": 4.0}
    found = standings(costing({"byte": quick, "unigram 512": UNIGRAM}))

    assert remarks.say_cost(found) == (
        "unigram 512 costs 2.5 × the training seconds of the quickest (byte) and 2.2 × the "
        "parameters of the smallest (byte)."
    )
    assert remarks.say_cost(standings(runs({"a": 1.9, "b": 2.1}))) == ""


@pytest.mark.parametrize(
    ("n_seeds", "seconds", "beside"),
    [
        (1, 10.0, {"byte": 1, "unigram 512": 1}),
        (2, 1.0, {"byte": 1, "unigram 512": 1}),
        (2, 10.0, {"byte": 1, "unigram 512": 2}),
    ],
    ids=["one run each", "they vary as much", "another number side by side"],
)
def test_of_times_that_say_nothing_nothing_is_said(
    n_seeds: int, seconds: float, beside: Mapping[str, int]
) -> None:
    """The parameters are set beside each other all the same."""
    quick = BYTE | {"train_seconds": 4.0}
    found = [
        replace(entry, facts={**entry.facts, "runs_side_by_side": beside[entry.label]})
        for entry in costing({"byte": quick, "unigram 512": UNIGRAM})
        if entry.config.train.seed < n_seeds
    ]
    slow = next(entry for entry in found if entry.label == "unigram 512")
    found[found.index(slow)] = replace(slow, summary={**slow.summary, "train_seconds": seconds})

    assert remarks.say_cost(standings(found)) == (
        "unigram 512 costs 2.2 × the parameters of the smallest (byte)."
    )
    assert remarks.say_seconds(standings(found)) == ""


def test_losses_are_warned_of_where_tokenizers_are_unlike() -> None:
    mixed = standings(costing({"byte": BYTE, "unigram 512": UNIGRAM}))

    assert "not loss" in remarks.say_loss(mixed)
    assert remarks.say_loss(standings(runs({"a": 1.9, "b": 2.1}))) == ""


def grown() -> Standings:
    """Two cells that a look at three seeds saw, and a third one since."""
    before = runs({"a": 1.9, "b": 2.1}, 3)
    looks = standings(before).looks
    found = [*before, *(run(2, "new", seed, 1.5) for seed in range(3))]
    assert Standings(entries=found, metric="val_bits_per_byte", rule=Rule(), looks=looks).look_due(
        3
    ) is None  # fmt: skip
    return Standings(entries=found, metric="val_bits_per_byte", rule=Rule(), looks=looks)


def test_a_cell_that_is_newer_than_the_last_look_is_told_why_it_is_not_judged() -> None:
    said = remarks.remarks(grown())

    assert said[0] == "new leads with 1.500 bits per byte; whether it is best is undetermined."
    [why] = [sentence for sentence in said if sentence.startswith("Not judged yet: new, ")]
    assert "last compared, at 3 seeds each, without" in why
    assert "the next verdicts come with at least 4 seeds" in why


def test_the_next_look_judges_it() -> None:
    entries = [*runs({"a": 1.9, "b": 2.1}, 4), *(run(2, "new", seed, 1.5) for seed in range(4))]
    found = replace(grown(), entries=entries)
    look = found.look_due(4)
    assert look is not None
    found = replace(found, looks=[*found.looks, look])

    assert doubts.say_unjudged(found) == ""
    assert remarks.say_answer(found).startswith("new is best: 1.500")


def test_runs_since_the_last_look_are_said_to_count_in_the_means_alone() -> None:
    looks = standings(runs({"a": 1.9, "b": 2.1}, 3)).looks
    found = replace(standings(runs({"a": 1.9, "b": 2.1}, 4)), looks=looks)

    assert doubts.say_unjudged(found).startswith("The verdicts are those of 3 seeds; later runs")
    assert doubts.say_unjudged(standings(runs({"a": 1.9, "b": 2.1}, 4))) == ""


def test_cells_that_share_no_seed_can_t_be_told_apart_by_any_number() -> None:
    merits = {
        "a": {0: -1.0, 1: -1.1, 2: -1.2, 3: -1.0},
        "b": {0: -2.0, 1: -2.1, 2: -2.3, 3: -2.0},
        "c": {7: -1.1, 8: -1.0},
    }
    looks = [Look(n_seeds=4, share=0.3, runs={cell: [*seeds] for cell, seeds in merits.items()})]

    assert Race(merits, looks, Rule()).seeds_needed("a", "c") is None


def test_what_would_take_hundreds_of_seeds_is_not_said_to_the_seed() -> None:
    assert doubts.say_seeds(9) == "about 9 seeds"
    assert doubts.say_seeds(4337) == "more than 100 seeds"


def test_many_rivals_are_named_in_part() -> None:
    cells = {f"cell {i}": 1.9 + i / 10_000 for i in range(6)}

    said = doubts.say_open(standings(runs(cells, 4, noise=0.05)))

    assert said.count("cell ") == 4  # three names, and once more for whom the seeds are
    assert " and 2 more can't be told from the leader" in said


def test_what_is_surely_behind_is_not_said_to_be_like_the_leader() -> None:
    """About what matters, and many times the noise."""
    found = standings(runs({"a": 1.9, "b": 1.9095}, 9, noise=0.001))
    assert found.leads[found.order[1]].interval[0] > 0

    answer = remarks.say_answer(found)
    assert answer.endswith("whether it leads by as much as matters is undetermined.")
    assert doubts.say_open(found).startswith(
        "After 9 seeds, b is behind, though perhaps by less than matters; to tell would take more"
    )


def test_rivals_that_are_close_and_those_that_are_behind_have_a_sentence_each() -> None:
    found = standings(runs({"a": 1.9, "b": 1.907, "c": 1.913}, 4, noise=0.002))
    said = doubts.say_open(found)

    assert remarks.say_answer(found).endswith("whether it is best is undetermined.")
    assert "4 seeds, b can't be told from the leader; to tell would take about " in said
    assert "4 seeds, c is behind, though perhaps by less than matters; to tell would take" in said
