"""The config of a run: all sections together, their key, their JSON and overrides from text."""

import ast
import dataclasses
import difflib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from gpt.config import check
from gpt.config.corpus import CorpusConfig
from gpt.config.model import ModelConfig
from gpt.config.optimizer import OptimizerConfig
from gpt.config.tokenizer import TokenizerConfig
from gpt.config.train import Budget, TrainConfig
from gpt.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """All that decides what a run computes; two runs with equal keys compute the same."""

    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    """Which text."""

    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    """How it becomes tokens."""

    model: ModelConfig = field(default_factory=ModelConfig)
    """What learns it."""

    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """How its weights are updated."""

    train: TrainConfig = field(default_factory=TrainConfig)
    """How long, how wide and where."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    def __post_init__(self) -> None:
        check.field_types(self)
        if self.train.measure_test and not self.corpus.test_fraction:
            raise ConfigError(
                "measure_test needs a test part but got a test_fraction of "
                f"{self.corpus.test_fraction}"
            )
        stride, block_size = self.train.eval_stride, self.model.block_size
        if stride is not None and self.model.context_bytes is None and stride > block_size:
            raise ConfigError(
                f"eval_stride must not exceed block_size but got {stride} and {block_size}"
            )

    def replace(self, **sections: Any) -> "RunConfig":
        """A copy with whole sections replaced: `replace(model=ModelConfig(n_layer=2))`."""
        return dataclasses.replace(self, **sections)

    def with_seed(self, seed: int) -> "RunConfig":
        """A copy that differs in the seed alone."""
        return check.changed(self, train=check.changed(self.train, seed=seed))

    def canonical(self) -> "RunConfig":
        """A copy without what its parts ignore, so that equal runs have equal keys."""
        return check.changed(
            self,
            tokenizer=self.tokenizer.canonical(),
            model=self.model.canonical(),
            optimizer=self.optimizer.canonical(),
            train=self.train.canonical(),
        )

    @property
    def key(self) -> str:
        """A stable name of this run: 12 hexadecimal digits of its content's SHA-256."""
        content = json.dumps(_plain(self.canonical()), sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:12]

    @cached_property
    def cell_key(self) -> str:
        """The key that the runs of one cell share, whatever their seed."""
        return self.with_seed(0).key

    def to_json(self) -> str:
        """The config as JSON; `from_json` reads it back."""
        return json.dumps(dataclasses.asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str) -> "RunConfig":
        """Read what `to_json` wrote; raises `ConfigError` on an unknown field or another type."""
        try:
            return TypeAdapter(cls).validate_json(text, strict=True)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the whole"
            raise ConfigError(f"not a run's config: {where}: {first['msg']}") from None

    def flat(self) -> dict[str, Any]:
        """Field name -> value, as shown and logged, the budget as text with its unit."""
        return {
            flat_name(name, leaf): str(value) if leaf == "budget" else value
            for name, section in _fields_of(self).items()
            for leaf, value in _fields_of(section).items()
        }

    def override(self, values: Mapping[str, str]) -> "RunConfig":
        """A copy with fields set from text: `{"n_head": "8", "model.bias": "True"}`.

        Values are Python literals, and must have the field's own type: `1e3` is no int and `false`
        no bool. A unit (`steps`, `tokens`, `bytes`, `flops`, `seconds`) replaces the budget.

        Raises:
            ConfigError: on an unknown key (naming the nearest), a value of another type, or two
                values for one field.
        """
        changes = _changes(tuple(values.items()))
        return self.replace(
            **{s: dataclasses.replace(getattr(self, s), **c) for s, c in changes.items()}
        )


def flat_name(section: str, leaf: str) -> str:
    """The name by which a field is shown: `tokenizer.kind` is `tokenizer`, `model.bias` `bias`."""
    return section if leaf in ("kind", "name") else leaf


def field_name(key: str) -> str:
    """The name in `RunConfig.flat` of what an override's key sets; a unit sets the budget. Raises
    `ConfigError` on an unknown key."""
    section, leaf = _find(key)
    return section if section == "budget" else flat_name(section, leaf)


def tidy(values: Mapping[str, str]) -> dict[str, str]:
    """Overrides in one normal form: `{"model.n_layer": "2", "steps": "1_000"}` is
    `{"n_layer": "2", "steps": "1000"}`. Raises as `RunConfig.override`."""
    changes = _changes(tuple(values.items()))
    fields = {flat_name(s, leaf): value for s, c in changes.items() for leaf, value in c.items()}
    budget = fields.pop("budget", None)
    if budget is not None:
        fields[budget.unit] = budget.amount
    return {name: str(value) for name, value in fields.items()}


@cache
def _paths() -> dict[str, tuple[str, str]]:
    """Every key that an override may use -> (section, field)."""
    paths: dict[str, tuple[str, str]] = {}
    for section, hint in check.hints_of(RunConfig).items():
        for leaf in dataclasses.fields(hint):
            if leaf.name == "budget":
                continue
            paths[f"{section}.{leaf.name}"] = (section, leaf.name)
            paths[flat_name(section, leaf.name)] = (section, leaf.name)
    for unit in dataclasses.fields(Budget):
        paths[unit.name] = paths[f"train.budget.{unit.name}"] = ("budget", unit.name)
    return paths


def _find(key: str) -> tuple[str, str]:
    paths = _paths()
    if key in paths:
        return paths[key]
    nearest = difflib.get_close_matches(key, paths, n=1, cutoff=0.5)
    known = ", ".join(sorted(name for name in paths if "." not in name))
    hint = f"did you mean {nearest[0]}?" if nearest else f"known: {known}"
    raise ConfigError(f"an override must name a field of the config but got {key!r}; {hint}")


@cache
def _changes(values: tuple[tuple[str, str], ...]) -> dict[str, dict[str, Any]]:
    """What overrides set: section -> field -> value; raises as `RunConfig.override`."""
    changes: dict[str, dict[str, Any]] = {}
    for key, text in values:
        section, leaf = _find(key)
        if section == "budget":
            value: Any = Budget(**{leaf: _parse(key, text, check.hints_of(Budget)[leaf])})
            section, leaf = "train", "budget"
        else:
            config = check.hints_of(RunConfig)[section]
            value = _parse(key, text, check.hints_of(config)[leaf])
        if leaf in changes.setdefault(section, {}):
            raise ConfigError(f"overrides must set {leaf} once but {key} sets it again")
        changes[section][leaf] = value
    return changes


def _parse(key: str, text: str, hint: Any) -> Any:
    try:
        value = ast.literal_eval(text)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        value = text  # no literal, so it stands for itself
    if hint is str and not isinstance(value, str):
        value = text  # a file may be called 1984
    try:
        return TypeAdapter(hint).validate_python(value, strict=True)
    except ValidationError:
        remedy = "; write True or False" if hint is bool else ""
        raise ConfigError(f"{key} takes {check.in_words(hint)} but got {text}{remedy}") from None


def _plain(value: Any) -> Any:
    """A config as a dict, with 5.0 as 5: what is equal in Python is equal in JSON."""
    if type(value) is float and value.is_integer():
        return int(value)
    fields = _fields_of(value)
    return {name: _plain(part) for name, part in fields.items()} if fields else value


def _fields_of(config: Any) -> dict[str, Any]:
    """The fields of a dataclass by name; of anything else none."""
    return {name: getattr(config, name) for name in getattr(config, "__dataclass_fields__", ())}
