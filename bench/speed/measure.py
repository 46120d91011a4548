"""Measure the rows of the table, each at its size, and record them in MLflow."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.record.tracking import Tracker, metric_points
from bench.speed import shapes, sweep_study
from bench.speed.latency import generation_row, help_row
from bench.speed.rows import Row
from bench.speed.sweep import overhead_row, sweep_row
from bench.speed.time_to_loss import target_row
from bench.speed.training import training_rows
from gpt.config import Budget, CorpusConfig, Device
from gpt.device import resolve_device
from gpt.presets import NANOGPT

GPU_WORKERS = 4
"""Runs at the same time in the sweep on a GPU, where the suite's default is one."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """The options of the command."""

    quick: bool
    shapes: tuple[str, ...]
    rounds: int
    against: Path | None
    device: Device
    corpora_dir: Path | None


def measure(
    names: Iterable[str], request: Request, tracker: Tracker, folder: Path
) -> Iterator[Row]:
    """Measure the rows with these names, yielding each when it is ready."""
    ways: dict[str, Callable[[], Iterable[Row]]] = {
        "training": lambda: _training(request, folder),
        "target": lambda: [_target(request)],
        "sweep": lambda: [_sweep(request, folder)],
        "overhead": lambda: [_overhead(request, tracker, folder)],
        "generation": lambda: [_generation(request)],
        "help": lambda: [help_row(rounds=_short_rounds(request))],
    }
    for name in names:
        yield from ways[name]()


def record(
    tracker: Tracker,
    rows: Iterable[Row],
    table: str,
    environment: Mapping[str, Any],
    *,
    status: str,
) -> None:
    """Keep ratios and the ends of their intervals as metrics of one run, the table as its note."""
    run_id = tracker.start_launch("speed", ledger="speed", tags=environment)
    metrics: dict[str, float | None] = {}
    for row in rows:
        name = f"speed/{_slug(f'{row.name} vs {row.baseline}')}"
        low, high = row.interval or (None, None)
        metrics |= {name: row.ratio, f"{name} low": low, f"{name} high": high}
    tracker.log(run_id, metric_points(0, metrics))
    tracker.finish(run_id, status, tags={"mlflow.note.content": f"```\n{table}\n```"})


def _slug(name: str) -> str:
    """A name with only the characters that MLflow allows: letters, digits, spaces and _-./"""
    return "".join(c if c.isalnum() or c in "_-. " else "" for c in name)


def _rounds(request: Request) -> int:
    return 1 if request.quick else request.rounds


def _short_rounds(request: Request) -> int:
    """Rounds of a row with short timings: as many as a small shape has."""
    return _rounds(request) * (shapes.TINY if request.quick else shapes.A).repeats


def _training(request: Request, folder: Path) -> Iterator[Row]:
    chosen = request.shapes or ("A", "B", "C")
    for shape in [shapes.TINY] if request.quick else [getattr(shapes, name) for name in chosen]:
        yield from training_rows(
            shape,
            device=request.device,
            against=request.against,
            rounds=_rounds(request) * shape.repeats,
            folder=folder,
        )


def _target(request: Request) -> Row:
    return target_row(
        device=request.device,
        parts=1 if request.quick else 3,
        steps=2 if request.quick else None,
        corpora_dir=request.corpora_dir,
    )


def _sweep(request: Request, folder: Path) -> Row:
    device = resolve_device(request.device).type
    study, settings = str(sweep_study.__file__), []
    if request.quick:
        study = "smoke"
        text = shapes.write_text(shapes.TINY, folder)
        settings = ["steps=2", "sample_tokens=5", f"corpus={text}"]
    return sweep_row(
        study=study,
        rounds=max(1, _rounds(request) // 3),  # each takes minutes
        settings=settings,
        device=device,
        workers=GPU_WORKERS if device == "cuda" else None,
    )


def _overhead(request: Request, tracker: Tracker, folder: Path) -> Row:
    """The overhead of ten seconds of nanoGPT's recipe, on the embedded text."""
    seconds = 0.2 if request.quick else 10.0
    config = NANOGPT.replace(
        corpus=CorpusConfig(name="pydocs"),
        tokenizer=replace(NANOGPT.tokenizer, byte_fallback=True),
        train=replace(
            NANOGPT.train, budget=Budget(seconds=seconds), device=request.device, evaluations=1
        ),
    )
    rounds = 1 if request.quick else 3
    return overhead_row(config, tracker, rounds=rounds, folder=folder)


def _generation(request: Request) -> Row:
    shape, n_tokens = (shapes.TINY, 20) if request.quick else (replace(shapes.A, T=256), 500)
    rounds = _short_rounds(request)
    return generation_row(shape, n_tokens=n_tokens, device=request.device, rounds=rounds)
