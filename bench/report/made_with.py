"""With what was a study made? Model, text, machine and versions, and how to run it again."""

import json
from collections.abc import Iterable
from typing import Any

from markupsafe import Markup

from bench.drawing import Section, table
from bench.report.story import Story

SETTINGS = {
    "n_layer": "layers",
    "n_embd": "width",
    "n_head": "heads",
    "context_bytes": "context in bytes",
    "block_size": "context in tokens",
    "batch_size": "sequences a step",
    "optimizer": "optimizer",
    "learning_rate": "learning rate",
    "dtype": "precision",
}
"""Columns of runs -> what they are called; where cells differ in one, its values are listed."""

MOST_VALUES = 6
"""Of a setting in a line; of more the ends are shown."""

FACTS = {
    "device_name": "device",
    "threads": "threads a run",
    "runs_side_by_side": "runs side by side",
}

ENVIRONMENT = {
    "cpu_cores": "CPU cores",
    "platform": "platform",
    "python": "Python",
    "torch": "PyTorch",
    "gpt-bench": "gpt-bench",
    "git_commit": "git commit",
    "git_dirty": "changed since it",
    "code": "digest of the code",
}


def made_with(story: Story) -> Section:
    """The last section of a report."""
    runs = story.complete
    shown = [name for name in SETTINGS if name in runs]
    if "context_bytes" in runs and runs.context_bytes.notna().all():
        shown.remove("block_size")  # it follows from the bytes
    facts = {SETTINGS[name]: say_values(runs[name]) for name in shown}
    facts["text"] = _distinct(
        f"{entry.facts.get('corpus')} (SHA-256 {str(entry.facts.get('corpus_digest'))[:12]}…)"
        for entry in story.standings.complete
    )
    facts["its parts"] = _distinct(
        f"{corpus.val_fraction:.0%} of it for validation, {corpus.test_fraction:.0%} for the test"
        for corpus in (entry.config.corpus for entry in story.standings.complete)
    )
    facts |= {
        called: _distinct(entry.facts.get(name) for entry in story.standings.complete)
        for name, called in FACTS.items()
    }
    recorded = environment_of(story)
    facts |= {
        called: str(recorded[name]) for name, called in ENVIRONMENT.items() if name in recorded
    }
    facts["last run"] = f"{story.ended:%Y-%m-%d}" if story.ended else ""
    known = {name: value for name, value in facts.items() if value}
    columns = {"what": list(known), "which": list(known.values())}
    command = Markup("<p>Run it again:</p><pre>{}</pre>").format(story.about.command)
    return Section(
        title="Made with",
        name="environment",
        content=[table(columns, words=tuple(columns)), command],
    )


def say_values(values: Iterable[Any]) -> str:
    """The distinct values, smallest first: `1, 2, 4`; of many the ends: `0.001 to 0.02`."""
    there = {value for value in values if value is not None and value == value}
    if not there:
        return ""
    numbers = all(isinstance(value, int | float) for value in there)
    found = sorted(there) if numbers else sorted(map(str, there))
    said = [f"{value:g}" if isinstance(value, float) else str(value) for value in found]
    return f"{said[0]} to {said[-1]}" if numbers and len(said) > MOST_VALUES else ", ".join(said)


def environment_of(story: Story) -> dict[str, Any]:
    """The environment of the latest run that recorded one, with its libraries' versions."""
    text = story.text_of(story.complete[::-1], "environment.json")
    found: dict[str, Any] = json.loads(text) if text else {}
    return {**found.get("libraries", {}), **found}


def _distinct(values: Iterable[Any]) -> str:
    return ", ".join(dict.fromkeys(str(value) for value in values if value is not None))
