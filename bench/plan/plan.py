"""What a user asks for, made into a plan: which cells, how many runs, and in which ledger."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import optuna

from bench.cells.catalog import find_study
from bench.cells.grid import Grid, cells_of
from bench.cells.settings import settle
from bench.conclude.standings import refuse_unfair_metric
from bench.conclude.stats import LOOKS
from bench.ledger.paths import STORE, ledger_path
from bench.spec import MAX_SEEDS, Study
from bench.system import provenance
from gpt.config.run import field_name
from gpt.corpora import KNOWN
from gpt.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Request:
    """A study and its options, as they were typed."""

    study: str | None
    from_run: str | None = None
    overrides: Mapping[str, str]
    corpora_dir: Path | None = None
    workers: int | None = None
    executor: Literal["local", "ray"] = "local"
    address: str | None = None
    """The address of a Ray cluster; None starts one on this machine, for this command."""

    seeds: int | Literal["auto"] | None = None
    matters: float | None = None
    fresh: bool = False


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a request comes to, before anything is made ready or trained."""

    name: str
    description: str
    study: Study
    overrides: Mapping[str, str]
    looks: tuple[int, ...]
    """Seeds of each cell after which the standings are looked at; where the best is found before
    the last of them, no more are run."""

    grid: Grid
    """A grid's cells; of a search, a few points of its space."""

    part: str = ""
    """Names what is run apart from the study's own grid, in a ledger of its own."""

    part_title: str = ""
    """The same in words."""

    @property
    def n_runs(self) -> int:
        """Runs at the first look, done or not; of a search, its points."""
        search = self.study.search
        return search.n_trials if search else len(self.grid.cells) * self.looks[0]

    def next_look(self, n_seeds: int) -> int:
        """The seeds of the look after that at so many; the last look has none after it."""
        return next((look for look in self.looks if look > n_seeds), n_seeds)

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
            name += f"@{corpus if corpus in KNOWN else provenance.digest_of(corpus)}"
        if others:
            name += f"+{provenance.digest_of(repr(sorted(others.items())))}"
        return f"{name}.{self.part}" if self.part else name

    @property
    def title(self) -> str:
        """The same in words, for people: `smoke · corpus=song.txt, n_layer=2`."""
        given = {**self.overrides}
        if "corpus" in given:
            given["corpus"] = Path(given["corpus"]).name
        settings = ", ".join(f"{key}={value}" for key, value in sorted(given.items()))
        parts = (self.name, settings, self.part_title)
        return " · ".join(part for part in parts if part)

    @property
    def launch_name(self) -> str:
        """How a launch of it is called where there is room for few characters."""
        return " · ".join(part for part in (self.name, self.part.partition("-")[0]) if part)

    @property
    def journal(self) -> Path:
        """The file of its ledger."""
        return ledger_path(self.ledger_name)

    @property
    def unsent(self) -> Path:
        """The folder of what could not be recorded yet."""
        return STORE / "unsent" / self.ledger_name

    @property
    def space(self) -> dict[str, str]:
        """What a search draws from and is told, as a digest; a grid's cells are known singly."""
        if self.study.search is None:
            return {}
        cells = sorted(cell.key for cell in self.grid.cells)
        return {"search space": provenance.digest_of(self.study.metric, *cells)}


def make_plan(request: Request) -> Plan:
    """Load the study, apply what was typed and walk its space.

    Raises:
        ConfigError: the study, an override or the number of seeds is wrong.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    overrides = settle(request.overrides)
    if "corpus" in overrides:
        overrides["corpus"] = _resolved(overrides["corpus"])
    if request.from_run is not None:
        from bench.record.tracking import (
            load_config,  # MLflow takes a second, and is needed here alone
        )

        config = load_config(request.from_run)
        study = Study(lambda trial: config, first_seed=config.train.seed)  # noqa: ARG005
        name, description = f"run-{config.key}", f"The run {request.from_run} again."
    else:
        file = find_study(request.study or "")
        study = file.load()
        name, description = file.name, file.description
    seeds = study.seeds if request.seeds is None else request.seeds
    if seeds != "auto" and seeds > MAX_SEEDS:
        raise ConfigError(
            f"seeds must be at most {MAX_SEEDS:,}, for the next ones measure the best again, but "
            f"got {seeds:,}"
        )
    study = replace(study, seeds=seeds)
    if request.matters is not None:
        study = replace(study, matters=request.matters)
    grid = cells_of(study, overrides)
    configs = [cell.config for cell in grid.cells]
    refuse_unfair_metric(study.metric, configs)
    if len(configs) > 1 and any(config.train.measure_test for config in configs):
        raise ConfigError(
            f"measure_test is for one cell but got it with {len(configs)}: what a sweep looks at "
            "is no test any more (its best is measured there at the end)"
        )
    aims = [config.train.target_loss for config in configs]
    if study.metric == "seconds_to_target" and None in aims:
        raise ConfigError("seconds_to_target needs a target_loss in each cell but got None")
    return Plan(
        name=name,
        description=description,
        study=study,
        looks=looks_of(study, len(grid.cells)),
        overrides=overrides,
        grid=grid,
    )


def looks_of(study: Study, n_cells: int) -> tuple[int, ...]:
    """Seeds after which a study is looked at; one for what has nothing to be compared with."""
    if study.search is not None:
        return (1,)
    if study.seeds == "auto":
        return LOOKS if n_cells > 1 else (1,)
    return (study.seeds,)


def under_budgets(request: Request, budgets: Sequence[Mapping[str, str]]) -> dict[str, Request]:
    """Budget in words -> the request under it; without any, the request as it is.

    All are planned here, so that what is wrong with the last is said before the first runs.

    Raises:
        ConfigError: as `make_plan`, or a setting names a budget too.
    """
    for key, value in request.overrides.items():
        if budgets and field_name(key) == "budget":
            raise ConfigError(
                f"--budget gives the budget, and so does --set {key}={value}: keep one of them"
            )
    requests = {
        f"{amount} {unit}": replace(request, overrides={**request.overrides, unit: amount})
        for budget in budgets
        for unit, amount in budget.items()
    }
    for one in requests.values():
        make_plan(one)
    return requests or {"": request}


def _resolved(corpus: str) -> str:
    """A path of a text as the same from everywhere; what is no path stays as it is."""
    try:
        is_path = corpus not in KNOWN and Path(corpus).exists()
    except OSError:  # a name that the file system refuses, such as one that is too long
        is_path = False
    return str(Path(corpus).resolve()) if is_path else corpus
