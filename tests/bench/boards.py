"""Runs with made-up numbers, and what the leaderboard says of them."""

import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from rich.console import Console

from bench.conclude.leaderboard import show
from bench.conclude.looks import rule_of
from bench.conclude.standings import Standings
from bench.conclude.stats import Rule, Verdict
from bench.ledger.ledger import Entry
from bench.ledger.outcome import Outcome
from bench.metrics import Metric
from gpt.config import Budget, RunConfig, TokenizerConfig, TrainConfig

FACTS = {
    "corpus_digest": "c" * 64, "device_name": "abacus", "threads": 1, "runs_side_by_side": 1,
}  # fmt: skip
SUMMARY = {
    "val_loss": 2.0, "n_params": 1_000_000, "context_bytes": 128.0, "n_steps": 100,
    "n_bytes": 500_000.0, "n_tokens": 250_000, "train_seconds": 9.0,
}  # fmt: skip
CONFIG = RunConfig(
    tokenizer=TokenizerConfig(kind="byte"), train=TrainConfig(budget=Budget(bytes=500_000))
)
APART = {"good": 1.9, "bad": 2.1, "worst": 2.3}

Edit = Callable[[Entry], Entry]


def config_of(cell: int) -> RunConfig:
    """A config that no other cell has."""
    return CONFIG.override({"dropout": f"0.{cell:04}1"})


def run(cell: int, label: str, seed: int, value: float, **summary: float) -> Entry:
    """A complete run with so many bits per byte, and 10,000 times as many tokens a second."""
    return Entry(
        label=label, config=config_of(cell).with_seed(seed), outcome=Outcome.COMPLETE, reason="",
        facts=FACTS,
        summary=SUMMARY | {"val_bits_per_byte": value, "tokens_per_second": 10_000 * value}
        | summary,
    )  # fmt: skip


def runs(cells: Mapping[str, float], seeds: int = 5, noise: float = 0.004) -> list[Entry]:
    """Runs of cells with so many bits per byte, more or less."""
    rng = random.Random(0)
    return [
        run(cell, label, seed, value + noise * rng.gauss(0, 1),
            tokens_per_second=10_000 * value * (1 + noise * rng.gauss(0, 1)))
        for cell, (label, value) in enumerate(cells.items())
        for seed in range(seeds)
    ]  # fmt: skip


def ended(entries: list[Entry], outcome: Outcome, cell: str, *seeds: int) -> list[Entry]:
    """The same, but for these seeds of a cell, which ended so."""
    return [
        replace(entry, outcome=outcome, reason="why", summary={})
        if entry.label == cell and entry.config.train.seed in seeds
        else entry
        for entry in entries
    ]


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


UNLIKE: dict[str, tuple[Edit, Metric, str]] = {
    "bytes": (of_bad(summary={"n_bytes": 600_000.0}), "val_bits_per_byte", "600,000"),
    "unit": (of_bad(config={"steps": "100"}), "val_bits_per_byte", "share one unit of budget"),
    "corpus": (of_bad(facts={"corpus_digest": "d" * 64}), "val_bits_per_byte", "one corpus"),
    "tokenizer": (of_bad(config={"tokenizer": "char"}), "val_loss", "can't rank 2 tokenizers"),
    "device": (of_bad(facts={"device_name": "loom"}), "tokens_per_second", "one environment"),
    "threads": (of_bad(facts={"threads": 2}), "tokens_per_second", "one environment"),
    "libraries": (of_bad(facts={"environment": "another"}), "tokens_per_second", "another"),
    "contention": (
        of_bad(facts={"runs_side_by_side": 2}), "tokens_per_second", "runs_side_by_side 2"
    ),
}  # fmt: skip
"""What makes runs unlike -> how, what can't rank them then, and what is said."""


def standings(
    entries: list[Entry], metric: Metric = "val_bits_per_byte", rule: Rule | None = None
) -> Standings:
    """Their standings, at one look."""
    found = Standings(entries=entries, metric=metric, rule=rule or rule_of(metric))
    n_seeds = max((len(runs) for runs in found.race.merits.values()), default=0)
    look = found.look_due(n_seeds)
    return replace(found, looks=[look] if look else [])


def order(of: Standings) -> list[str]:
    """The ranked cells by their names."""
    return [of.names[cell] for cell in of.order]


def verdicts(of: Standings) -> dict[str, Verdict]:
    """Name -> verdict."""
    return {of.names[cell]: verdict for cell, verdict in of.verdicts.items()}


def lines(shown: object, width: int = 140) -> list[str]:
    """What a terminal of so many columns shows."""
    console = Console(width=width)
    with console.capture() as captured:
        console.print(shown)
    found = captured.get().splitlines()
    assert all(len(line) <= width for line in found)
    return [line.strip() for line in found]


def board(entries: list[Entry], metric: Metric = "val_bits_per_byte") -> str:
    """The words of the leaderboard, on one line."""
    return " ".join(" ".join(lines(show("study", standings(entries, metric), []))).split())
