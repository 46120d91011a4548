"""Which cells does a study have? Walk its define-by-run space once, and train nothing."""

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler

from bench.spec import Study, Trial
from gpt.config import RunConfig
from gpt.config.run import field_name
from gpt.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One point of a study's space."""

    params: dict[str, Any]
    """What the study's `cell` asked its trial for, and got."""

    config: RunConfig
    """What it made of it, overrides included, seed 0."""

    label: str
    """The cell as a person would say it: `bpe 1024`. No other cell of its grid has the same."""

    @property
    def key(self) -> str:
        """Stable name of the cell: what identifies it."""
        return self.config.cell_key


@dataclass(frozen=True, kw_only=True)
class Dropped:
    """A point of the space that makes no valid config."""

    label: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Grid:
    """All cells of a study, each once, and the points that gave none."""

    cells: list[Cell]
    dropped: list[Dropped]


@dataclass(frozen=True, kw_only=True)
class _Point:
    rank: tuple[int, ...]
    params: dict[str, Any]
    config: RunConfig | ConfigError


def label(params: Mapping[str, Any]) -> str:
    """A point's values: `bpe 1024`, `n_head 2 n_layer 4`. A choice not taken (None) is left out.

    Numbers carry their names, but for one that stands alone beside words. Two points may get the
    same label: see `unique_labels`.
    """
    return _say(params, exact=False)


def unique_labels(points: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Key -> label, for points that are shown together: as short as tells all of them apart."""
    forms = {key: label_forms(key, params) for key, params in points.items()}
    for labels in zip(*forms.values(), strict=True):
        if len(set(labels)) == len(labels):
            return dict(zip(forms, labels, strict=True))
    return {}  # of no points: the last form has the key in it


def label_forms(key: str, params: Mapping[str, Any]) -> tuple[str, ...]:
    """A point's label, ever longer: floats in full, then every choice by name, then its key."""
    named = " ".join(f"{name} {value}" for name, value in params.items()) or "single"
    return label(params), _say(params, exact=True), named, f"{named} {key}"


def _say(params: Mapping[str, Any], *, exact: bool) -> str:
    taken = {name: value for name, value in params.items() if value is not None} or params
    words = sum(isinstance(value, str) for value in taken.values())
    bare = words > 0 and len(taken) - words == 1
    parts = (
        shown if bare or isinstance(value, str) else f"{name} {shown}"
        for name, value in taken.items()
        for shown in [f"{value:.6g}" if isinstance(value, float) and not exact else str(value)]
    )
    return " ".join(parts) or "single"


def enumerate_grid(study: Study, overrides: Mapping[str, str]) -> Grid:
    """Every cell of a grid study once, in the order in which its choices are written.

    Points whose configs differ only in what their tokenizer ignores are one cell. A point that
    makes no valid config is dropped and listed.

    Raises:
        ConfigError: no cell is valid, or an override sets what the study varies. What the study
            itself raises is passed on, a space that is not finite among it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        sampler = optuna.samplers.BruteForceSampler(seed=0)
    return _as_grid(_visit(study.cell, sampler), overrides)


def draw_cells(study: Study, overrides: Mapping[str, str], n_points: int = 32) -> Grid:
    """Some points of a search's space, to find what is wrong with it before it runs.

    Raises:
        ConfigError: as `enumerate_grid`.
    """
    return _as_grid(_visit(study.cell, optuna.samplers.RandomSampler(seed=0), n_points), overrides)


def refuse_varied(overrides: Mapping[str, str], configs: Iterable[RunConfig]) -> None:
    """Raise `ConfigError` if an override would make unlike cells alike."""
    flats = [config.flat() for config in configs]
    for key in overrides:
        values = {repr(flat[field_name(key)]) for flat in flats}
        if len(values) > 1:
            raise ConfigError(
                f"--set can't fix what the study varies but got {key} "
                f"(it takes {', '.join(sorted(values))})"
            )


def _as_grid(points: Sequence[_Point], overrides: Mapping[str, str]) -> Grid:
    refuse_varied(overrides, [p.config for p in points if isinstance(p.config, RunConfig)])
    configs: dict[str, RunConfig] = {}
    reasons: dict[str, str] = {}
    params: dict[str, dict[str, Any]] = {}
    for point in points:  # a search may draw one more than once
        try:
            if isinstance(point.config, ConfigError):
                raise point.config
            config = point.config.override(overrides).canonical().with_seed(0)
            key = config.cell_key
            configs.setdefault(key, config)
        except ConfigError as error:
            key = repr(point.params)
            reasons[key] = str(error)
        params.setdefault(key, point.params)
    if not configs:
        raise ConfigError("; ".join(sorted(set(reasons.values()))))
    labels = unique_labels(params)
    return Grid(
        cells=[
            Cell(params=params[key], config=config, label=labels[key])
            for key, config in configs.items()
        ],
        dropped=[Dropped(label=labels[key], reason=reason) for key, reason in reasons.items()],
    )


def _visit(
    cell: Callable[[Trial], RunConfig], sampler: BaseSampler, n_points: int | None = None
) -> list[_Point]:
    """What the study makes of the points that a sampler comes to."""
    found: list[_Point] = []

    def visit(trial: Trial) -> float:
        try:
            config: RunConfig | ConfigError = cell(trial)
        except ConfigError as error:
            config = error
        if not isinstance(config, RunConfig | ConfigError):
            where = f"{cell.__code__.co_filename}:{cell.__code__.co_firstlineno}"
            raise ConfigError(
                f"{where}: {cell.__name__} must return a RunConfig but got {type(config).__name__}"
            )
        found.append(_Point(rank=_rank(trial), params=dict(trial.params), config=config))
        return 0.0

    optuna.create_study(sampler=sampler).optimize(visit, n_points)
    return sorted(found, key=lambda point: point.rank)


def _rank(trial: Trial) -> tuple[int, ...]:
    """Where each value stands among its choices."""
    return tuple(
        distribution.choices.index(trial.params[name])
        if isinstance(distribution, CategoricalDistribution)
        else round(1e6 * trial.params[name])
        for name, distribution in trial.distributions.items()
    )
