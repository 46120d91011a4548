"""What the leaderboard and `bench.compare` claim of a ledger's runs, and what they refuse to."""

import math
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from ledgers import Open, claims
from rich.console import Console

from bench.compare import main
from bench.leaderboard import show
from bench.ledger import Entry, Ledger
from bench.outcome import Outcome
from bench.spec import Metric
from bench.standings import Standings
from bench.stats import Verdict
from gpt.config import Budget, RunConfig, TokenizerConfig, TrainConfig

FACTS = {"corpus_digest": "c" * 64, "device_name": "abacus", "threads": 1}
SUMMARY = {
    "val_loss": 2.0, "n_params": 1_000_000, "context_bytes": 128.0, "n_steps": 100,
    "n_bytes": 500_000.0, "train_seconds": 9.0,
}  # fmt: skip
CONFIG = RunConfig(
    tokenizer=TokenizerConfig(kind="byte"), train=TrainConfig(budget=Budget(bytes=500_000))
)

Edit = Callable[[Entry], Entry]


def runs(cells: dict[str, float], seeds: int = 5, noise: float = 0.004) -> list[Entry]:
    """Cell -> bits per byte, and ten thousand tokens a second for each of them."""
    rng = random.Random(0)
    return [
        Entry(
            label=label, config=CONFIG.with_seed(seed), outcome=Outcome.COMPLETE, reason="",
            facts=FACTS,
            summary=SUMMARY | {
                "val_bits_per_byte": value + noise * rng.gauss(0, 1),
                "tokens_per_second": 10_000 * value * (1 + noise * rng.gauss(0, 1)),
            },
        )
        for label, value in cells.items()
        for seed in range(seeds)
    ]  # fmt: skip


def board(entries: list[Entry], metric: Metric = "val_bits_per_byte") -> str:
    console = Console(width=120)
    with console.capture() as captured:
        console.print(show("study", Standings(entries=entries, metric=metric), [], 1))
    assert all(len(line) <= 120 for line in captured.get().splitlines())
    return " ".join(captured.get().split())


APART = {"good": 1.9, "bad": 2.1, "worst": 2.3}


def test_a_winner_with_evidence() -> None:
    entries = runs(APART)

    assert Standings(entries=entries, metric="val_bits_per_byte").verdicts == {
        "good": Verdict.BETTER, "bad": Verdict.WORSE, "worst": Verdict.WORSE,
    }  # fmt: skip
    assert "Best bits per byte: good. 5 paired seeds; Holm over all 3 pairs" in board(entries)


def test_larger_is_better_for_speed_and_differences_are_ratios() -> None:
    entries = runs(APART)
    standings = Standings(entries=entries, metric="tokens_per_second")

    assert standings.order == ["worst", "bad", "good"]
    assert standings.verdicts["worst"] is Verdict.BETTER
    low, high = standings.leads["good"].interval
    assert low < 0.191 < high  # ln(2.3 / 1.9)
    assert "Best tokens per second: worst." in board(entries, "tokens_per_second")


def test_seconds_of_a_run_that_never_got_there_are_not_those_to_the_target() -> None:
    entries = [
        replace(
            entry,
            summary=entry.summary
            | {"seconds_to_target": math.inf if entry.label == "slow" else 7.0 + i / 10},
        )
        for i, entry in enumerate(runs({"fast": 1.9, "slow": 2.1}, seeds=3))
    ]
    shown = board(entries, "seconds_to_target")

    assert "slow never reached the target loss in 3 of 3 runs: its train s are a whole" in shown
    assert "fast never" not in shown


@pytest.mark.parametrize("seeds", [1, 3])
def test_rule_09_no_winner_without_evidence_on_the_leaderboard(seeds: int) -> None:
    entries = runs(APART, seeds)

    verdicts = Standings(entries=entries, metric="val_bits_per_byte").verdicts
    assert set(verdicts.values()) == {Verdict.UNDETERMINED}
    text = board(entries)
    assert "good leads in bits per byte; whether it is best is undetermined." in text
    assert "no winner can be named: it takes 5 (--seeds 5)" in text


def test_the_best_must_beat_every_other() -> None:
    standings = Standings(entries=runs({"a": 1.9, "b": 1.9, "c": 2.3}), metric="val_bits_per_byte")

    assert list(standings.verdicts.values()) == ["undetermined", "undetermined", "worse"]


def test_one_cell_alone_is_compared_with_nothing() -> None:
    entries = runs({"only": 2.0})

    assert Standings(entries=entries, metric="val_bits_per_byte").verdicts == {}
    assert "verdict" not in board(entries)


def test_what_did_not_complete_or_lost_text_is_not_ranked() -> None:
    lossy = TokenizerConfig(kind="original-unigram", vocab_size=500)
    entries = runs(APART) + runs({"died": 1.0}) + runs({"lost": 1.0})
    entries = [replace(e, outcome=Outcome.FAILED) if e.label == "died" else e for e in entries]
    entries = [
        replace(e, config=replace(e.config, tokenizer=lossy), facts=FACTS | {"flags": "lossy"})
        if e.label == "lost"
        else e
        for e in entries
    ]

    assert [*Standings(entries=entries, metric="val_bits_per_byte").verdicts] == [*APART]
    text = board(entries)
    assert "lost (lossy)" in text
    assert "not ranked" in text


def of_bad(**changes: Any) -> Edit:
    """Changes every run of the cell `bad`."""

    def edit(entry: Entry) -> Entry:
        if entry.label != "bad":
            return entry
        config = entry.config.override(changes.get("config", {}))
        facts = {**entry.facts, **changes.get("facts", {})}
        summary = {**entry.summary, **changes.get("summary", {})}
        return replace(entry, config=config, facts=facts, summary=summary)

    return edit


UNLIKE = {
    "bytes": (of_bad(summary={"n_bytes": 600_000.0}), "val_bits_per_byte", "600,000"),
    "unit": (of_bad(config={"steps": "100"}), "val_bits_per_byte", "share one unit of budget"),
    "corpus": (of_bad(facts={"corpus_digest": "d" * 64}), "val_bits_per_byte", "one corpus"),
    "tokenizer": (of_bad(config={"tokenizer": "char"}), "val_loss", "can't rank 2 tokenizers"),
    "device": (of_bad(facts={"device_name": "loom"}), "tokens_per_second", "one environment"),
    "threads": (of_bad(facts={"threads": 2}), "tokens_per_second", "one environment"),
}


@pytest.mark.parametrize("what", UNLIKE)
def test_unlike_runs_are_shown_and_not_ranked(what: str) -> None:
    edit, metric, message = UNLIKE[what]
    entries = [edit(entry) for entry in runs(APART)]

    standings = Standings(entries=entries, metric=metric)

    assert standings.verdicts == {}
    assert standings.order == [*APART]
    text = board(entries, metric)
    assert "Not ranked: " in text
    assert message in text


def test_rule_12_losses_of_unlike_machines_may_be_ranked() -> None:
    entries = [of_bad(facts={"device_name": "loom"})(entry) for entry in runs(APART)]

    assert Standings(entries=entries, metric="val_bits_per_byte").verdicts["good"] == "better"


def test_rule_12_unlike_devices_may_be_raced_where_the_study_asks_for_them() -> None:
    raced = of_bad(config={"device": "cuda"}, facts={"device_name": "loom"})
    entries = [raced(entry) for entry in runs(APART)]

    assert Standings(entries=entries, metric="tokens_per_second").verdicts["worst"] == "better"


def record(open_ledger: Open, entries: list[Entry]) -> None:
    """Give the three cells of a tiny grid these runs' numbers."""
    names = dict(zip(["n_head 1", "n_head 2", "n_head 4"], [*APART], strict=True))
    by_name = {(e.label, e.config.train.seed): e for e in entries}
    with open_ledger(seeds=5) as ledger:
        for claim in claims(ledger):
            entry = by_name[names[claim.label], claim.config.train.seed]
            summary = {**entry.summary, "n_steps": 2000}
            ledger.settle(claim, Outcome.COMPLETE, facts=entry.facts, summary=summary)


def compare(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    return result.exit_code, " ".join(result.output.split())


def test_two_cells_are_compared_seed_by_seed(open_ledger: Open, ledger_path: Path) -> None:
    record(open_ledger, runs(APART))
    before = ledger_path.read_bytes()

    code, text = compare(ledger_path, "n_head 2", "n_head 1")

    assert code == 0
    assert "seed n_head 2 n_head 1 ahead by 0 2.1" in text
    assert "n_head 2 is ahead by -0.2" in text
    assert "(99% interval): n_head 1 is better." in text
    assert "5 paired seeds; Holm over all 3 pairs at alpha 0.01" in text
    assert ledger_path.read_bytes() == before


def test_speeds_are_compared_as_ratios(open_ledger: Open, ledger_path: Path) -> None:
    record(open_ledger, runs(APART))

    code, text = compare(ledger_path, "n_head 4", "n_head 1", "--speed")

    assert code == 0
    assert "n_head 4 is better." in text
    assert "21." in text  # 2.3 / 1.9, in percent
    assert "not taken in turn" in text


def test_a_cell_is_compared_with_itself_of_another_ledger(
    open_ledger: Open, ledger_path: Path, tmp_path: Path
) -> None:
    record(open_ledger, runs(APART))
    old = tmp_path / "old.journal"
    old.write_bytes(ledger_path.read_bytes())

    code, text = compare(ledger_path, "n_head 2", "n_head 2", "--against", old)

    assert code == 0
    assert "n_head 2 (1) is ahead by +0.0000 to +0.0000 (99% interval): a tie." in text


@pytest.mark.parametrize("what", ["corpus", "device"])
def test_unlike_cells_are_refused(open_ledger: Open, ledger_path: Path, what: str) -> None:
    edit, metric, message = UNLIKE[what]
    record(open_ledger, [edit(entry) for entry in runs(APART)])

    code, text = compare(ledger_path, "n_head 1", "n_head 2", "--metric", metric)

    assert code == 2
    assert message in text
    assert compare(ledger_path, "n_head 1", "n_head 4", "--metric", metric)[0] == 0


def test_a_wrong_name_is_met_with_the_right_ones(open_ledger: Open, ledger_path: Path) -> None:
    record(open_ledger, runs(APART))

    assert "known: 'n_head 1', 'n_head 2'" in compare(ledger_path, "n_head 3", "n_head 1")[1]
    assert "ledger must be a file" in compare("nothing", "a", "b")[1]
    assert (
        "have no seconds_to_target"
        in compare(ledger_path, "n_head 1", "n_head 2", "--metric", "seconds_to_target")[1]
    )


def test_a_ledger_under_a_launch_is_read(open_ledger: Open, ledger_path: Path) -> None:
    with open_ledger() as ledger:
        ledger.settle(ledger.claim(), Outcome.COMPLETE, summary={"val_bits_per_byte": 2.0})
        ledger.claim()  # under way
        with ledger_path.open("a") as file:
            file.write('{"op_code')  # a line half written

        assert [entry.outcome for entry in Ledger.read(ledger_path)] == [Outcome.COMPLETE]


def test_seeds_that_miss_for_one_reason_are_one_line() -> None:
    entries = [
        replace(e, outcome=Outcome.FAILED, reason="Trace\nwhy") for e in runs({"a": 1.0}, 2)
    ]
    entries += [replace(e, outcome=Outcome.DIVERGED, reason="nan") for e in runs({"b": 1.0}, 1)]

    assert board(entries) == "Not complete: failed: a · seeds 0, 1: why diverged: b · seed 0: nan"
