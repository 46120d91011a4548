"""Ledgers without training: a grid of three cells and two seeds, and what to do with its runs."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace

from bench.ledger.ledger import Claim, Entry, Ledger
from bench.ledger.outcome import Outcome
from bench.spec import Study, Trial, choose
from gpt.config import RunConfig

BASE = RunConfig()
IDENTITY = {"text": "bbb", "code": "ccc"}
SUMMARY = {"val_bits_per_byte": 2.0}

Open = Callable[..., AbstractContextManager[Ledger]]


def heads(trial: Trial) -> RunConfig:
    n_head = choose(trial, "n_head", [1, 2, 4])
    return replace(BASE, model=replace(BASE.model, n_head=n_head))


def heads_of(*n_heads: int, seeds: int = 1) -> Study:
    """A grid of cells with so many heads."""

    def cell(trial: Trial) -> RunConfig:
        n_head = choose(trial, "n_head", n_heads)
        return replace(BASE, model=replace(BASE.model, n_head=n_head))

    return Study(cell, seeds=seeds)


GRID = Study(heads, seeds=2)
ALL = ["1/0", "2/0", "4/0", "4/1", "2/1", "1/1"]
"""Its runs, as `name` names them, in the order in which they are given out: there and back."""


def claims(ledger: Ledger) -> list[Claim]:
    """All that is left, claimed."""
    return list(iter(ledger.claim, None))


def complete(ledger: Ledger) -> list[str]:
    """Run all that is left to its end; returns what was run."""
    done = []
    while claim := ledger.claim():
        ledger.settle(claim, Outcome.COMPLETE, summary=SUMMARY)
        done.append(name(claim))
    return done


def name(run: Claim | Entry) -> str:
    return f"{run.config.model.n_head}/{run.config.train.seed}"
