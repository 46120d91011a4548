"""What is a study's reader shown first in MLflow: which columns, which curves, and which words?"""

from collections.abc import Mapping
from typing import Any

from bench.metrics import say_count
from bench.record.tracking import TAG_CELL, TAG_COLOUR, TAG_CURVE, colours
from bench.record.words import Words

LEADERBOARD_COLUMNS = {
    "tags.`result`": 250,
    "params.`tokenizer`": 80,
    "tags.`cost`": 250,
    "params.`seed`": 55,
    "params.`vocab_size`": 85,
}
"""What MLflow's table shows, in this order, and the width in pixels. The first four have room in a
window of 1,280 pixels, the first two beside MLflow's assistant, which opens at a first visit."""

CURVES = ("val_part/bpb", "val/bpb")
"""The first of these that a run has is drawn against what was spent."""


def cell_tags(words: Words) -> dict[str, dict[str, str]]:
    """Cell, by its key -> tags for all its runs, of what is known of it."""
    looks = colours(words.names.values())
    tags: dict[str, dict[str, str]] = {}
    for cell in {**words.names, **words.verdicts, **words.results}:
        said = {"verdict": words.verdicts.get(cell, ""), "result": words.results.get(cell, "")}
        tags[cell] = {tag: text for tag, text in said.items() if text}
        if (name := words.names.get(cell)) is not None:
            curve, colour = looks[name]
            tags[cell] |= {TAG_CELL: name, TAG_CURVE: curve, TAG_COLOUR: colour}
    return tags


def say_cost(summary: Mapping[str, float]) -> str:
    """What a run cost, rounded: `9.1 s · 12,345 tokens/s · 804 k params`."""
    parts = []
    if "train_seconds" in summary:
        parts.append(f"{summary['train_seconds']:,.1f} s")
    if "tokens_per_second" in summary:
        parts.append(f"{summary['tokens_per_second']:,.0f} tokens/s")
    if "n_params" in summary:
        parts.append(f"{say_count(summary['n_params'])} params")
    return " · ".join(parts)


def environment_tags(environment: Mapping[str, Any]) -> dict[str, Any]:
    """What of the environment is shown with a launch; its runs have all of it as a file."""
    tags = {name: environment[name] for name in ("python", "platform", "code")}
    commit = {
        name: environment[name] for name in ("git_commit", "git_dirty") if name in environment
    }
    return {**tags, **commit}


def note(answer: str, leaderboard: str) -> str:
    """The answer as text, and the board below it, of which MLflow shows the first lines alone."""
    board = [quoted(leaderboard)] if leaderboard != answer else []
    return "\n\n".join([*([answer] if answer else []), *board])


def quoted(text: str) -> str:
    """Text as a code block, for a Markdown note."""
    return f"```\n{text}\n```"
