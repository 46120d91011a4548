"""Which cells does a study have? Walk its define-by-run space once, and train nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.cells.settings import refuse_misleading
from bench.cells.space import Point, draw, walk
from bench.spec import Study
from gpt.config import RunConfig
from gpt.corpora import SOURCES
from gpt.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One point of a study's space."""

    params: dict[str, Any]
    """Parameter -> value: what the study's `cell` asked its trial for, and got."""

    config: RunConfig
    """The config that `cell` made from them, with the overrides and seed 0."""

    label: str
    """Short name for people, unique in its grid: `bpe 1024`."""

    @property
    def key(self) -> str:
        """Identifies the cell: a hash of its config."""
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

    repeats: dict[str, str] = field(default_factory=dict)
    """Label of a point -> label of the cell before it that has the same config."""

    @property
    def texts(self) -> str:
        """The corpora of its cells, in words, and which of them come over the network."""
        names = sorted({cell.config.corpus.name for cell in self.cells})
        return ", ".join(f"{n} (downloaded once)" if n in SOURCES else n for n in names)


def label(params: Mapping[str, Any]) -> str:
    """A point's values: `bpe 1024`, `n_head 2 n_layer 4`. A choice not taken (None) is left out.

    Numbers are shown with their names, except for a single number beside words. Two points may get
    the same label: see `unique_labels`.
    """
    return _say(params, exact=False)


def unique_labels(points: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Key -> label, for points that are shown together: the shortest form in which all differ."""
    forms = {key: label_forms(key, params) for key, params in points.items()}
    for labels in zip(*forms.values(), strict=True):
        if len(set(labels)) == len(labels):
            return dict(zip(forms, labels, strict=True))
    return {}  # no points; with any, the last form differs, as it holds the key


MAX_SHOWN = 60
"""Characters of one choice in a label."""


def label_forms(key: str, params: Mapping[str, Any]) -> tuple[str, ...]:
    """A point's label in ever longer forms: floats in full, choices by name, with its key."""
    named = " ".join(f"{name} {_shown(value)}" for name, value in params.items()) or "single"
    return label(params), _say(params, exact=True), named, f"{named} {key}"


def _say(params: Mapping[str, Any], *, exact: bool) -> str:
    taken = {name: value for name, value in params.items() if value is not None} or params
    words = sum(isinstance(value, str) for value in taken.values())
    bare = words > 0 and len(taken) - words == 1
    parts = (
        shown if bare or isinstance(value, str) else f"{name} {shown}"
        for name, value in taken.items()
        for shown in [f"{value:.6g}" if isinstance(value, float) and not exact else _shown(value)]
    )
    return " ".join(parts) or "single"


def _shown(value: Any) -> str:
    """A choice as text: cut if it is long, quoted if part of it would be invisible."""
    text = str(value)
    if not text or text != text.strip() or not text.isprintable():
        text = repr(text)
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 1]}…"


def cells_of(study: Study, overrides: Mapping[str, str]) -> Grid:
    """All cells of a grid, or some of those that a search may draw; raises as `enumerate_grid`."""
    return (draw_cells if study.search else enumerate_grid)(study, overrides)


def enumerate_grid(study: Study, overrides: Mapping[str, str]) -> Grid:
    """Every cell of a grid study once, in the order in which its choices are written.

    Points whose configs differ only in what their tokenizer ignores are one cell. A point that
    makes no valid config is dropped and listed.

    Raises:
        StudyError: the study is wrong, or its space is not finite.
        ConfigError: no cell is valid, or an override would mislead (`bench.cells.settings`).
    """
    return _as_grid(list(walk(study)), overrides)


def draw_cells(study: Study, overrides: Mapping[str, str], n_points: int = 32) -> Grid:
    """Some points of a search's space, to find what is wrong with it before it runs.

    Raises:
        ConfigError: as `enumerate_grid`.
    """
    return _as_grid(list(draw(study, n_points)), overrides)


def _as_grid(points: Sequence[Point], overrides: Mapping[str, str]) -> Grid:
    made = [point.config for point in points if isinstance(point.config, RunConfig)]
    refuse_misleading(overrides, made)
    if len({config.train.seed for config in made}) > 1:
        raise ConfigError("a study can't vary the seed: Study(..., seeds=3) gives each cell three")
    repeats: dict[str, str] = {}
    configs: dict[str, RunConfig] = {}
    reasons: dict[str, str] = {}
    params: dict[str, dict[str, Any]] = {}
    for point in points:  # a search may draw the same point twice
        try:
            if isinstance(point.config, ConfigError):
                raise point.config
            config = point.config.override(overrides).canonical().with_seed(0)
            key = config.cell_key
            configs.setdefault(key, config)
            if params.get(key, point.params) != point.params:
                repeats[label(point.params)] = key
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
        repeats={point: labels[key] for point, key in repeats.items()},
    )
