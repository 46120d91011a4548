"""A command as it was typed, made into a plan: which cells, how many runs, kept where."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import optuna
from rich.console import Console
from rich.table import Table

from bench import identity
from bench.catalog import StudyFile, find_study
from bench.grid import Grid, draw_cells, enumerate_grid
from bench.spec import Study
from bench.standings import refuse_unfair_metric
from bench.tracking import load_config
from gpt.corpora import KNOWN
from gpt.errors import ConfigError

AUTO_LOOKS = (5, 8, 12)
"""Seeds after which `--seeds auto` looks whether the lead is settled; the last is its cap."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """What was typed."""

    study: str | None
    from_run: str | None = None
    overrides: Mapping[str, str]
    corpora_dir: Path | None = None
    workers: int | None = None
    executor: Literal["local", "ray"] = "local"
    address: str | None = None
    """Of a cluster; None: one on this machine, for this command."""

    seeds: int | Literal["auto"] | None = None
    fresh: bool = False


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a command comes to, before anything is made ready or trained."""

    name: str
    description: str
    study: Study
    seeds: int
    overrides: Mapping[str, str]
    looks: tuple[int, ...]
    """Seeds after which the standings are looked at: the last of them, or sooner if settled."""

    grid: Grid
    """A grid's cells; of a search, a few points of its space."""

    part: str = ""
    """Names what is run apart from the study's own grid, in a ledger of its own."""

    @property
    def n_runs(self) -> int:
        """Runs of the whole study, done or not."""
        search = self.study.search
        return search.n_trials if search else len(self.grid.cells) * self.seeds

    @property
    def ledger_name(self) -> str:
        """Commands that ask for different things keep different ledgers.

        The corpus and `--set` are part of what is asked; the number of seeds is not, so that more
        can be added.
        """
        others = {key: value for key, value in self.overrides.items() if key != "corpus"}
        corpus = self.overrides.get("corpus")
        name = self.name
        if corpus is not None:
            name += f"@{corpus if corpus in KNOWN else identity.digest_of(corpus)}"
        if others:
            name += f"+{identity.digest_of(repr(sorted(others.items())))}"
        return f"{name}.{self.part}" if self.part else name

    @property
    def space(self) -> dict[str, str]:
        """What a search draws from and is told, as a digest; a grid's cells are known singly."""
        if self.study.search is None:
            return {}
        cells = sorted(cell.key for cell in self.grid.cells)
        return {"search space": identity.digest_of(self.study.metric, *cells)}


def make_plan(command: Command) -> Plan:
    """Load the study, apply what was typed and walk its space.

    Raises:
        ConfigError: the study, an override or the number of seeds is wrong.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    overrides = dict(command.overrides)
    corpus = overrides.get("corpus")
    if corpus is not None and corpus not in KNOWN and Path(corpus).exists():
        overrides["corpus"] = str(Path(corpus).resolve())
    if command.from_run is not None:
        config = load_config(command.from_run)
        file = None
        study = Study(lambda trial: config, first_seed=config.train.seed)  # noqa: ARG005
        name, description = f"run-{config.key}", f"The run {command.from_run} again."
    else:
        file = find_study(command.study or "")
        study = file.load()
        name, description = file.name, file.description
    looks = AUTO_LOOKS if command.seeds == "auto" else (command.seeds or study.seeds,)
    if study.search and looks != (1,):
        raise ConfigError(f"a search gives each point one seed but got --seeds {command.seeds}")
    grid = _walk(study, overrides, file)
    refuse_unfair_metric(study.metric, [cell.config for cell in grid.cells])
    return Plan(
        name=name,
        description=description,
        study=study,
        seeds=looks[0],
        looks=looks,
        overrides=overrides,
        grid=grid,
    )


def _walk(study: Study, overrides: Mapping[str, str], file: StudyFile | None) -> Grid:
    try:
        return (draw_cells if study.search else enumerate_grid)(study, overrides)
    except Exception as error:
        if file is None:
            raise
        raise file.blame(error) from error


def show_plan(plan: Plan, console: Console) -> None:
    """Print the cells of a plan, and what was dropped from it."""
    search = plan.study.search
    title = f"{plan.name}: {plan.n_runs} runs" + (
        f", searched; {len(plan.grid.cells)} points of its space:"
        if search
        else f" = {len(plan.grid.cells)} cells × {plan.seeds} seeds"
    )
    table = Table("cell", "budget", "key", title=title, title_justify="left", box=None)
    for cell in plan.grid.cells:
        table.add_row(cell.label, str(cell.config.train.budget), cell.key)
    console.print(table)
    for point in plan.grid.dropped:
        console.print(f"dropped: {point.label}: {point.reason}", highlight=False)
