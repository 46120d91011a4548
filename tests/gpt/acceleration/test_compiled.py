"""Compiled, a run learns the same; what it costs is counted; what can't be is said."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from late_device import LateDevice, watch
from same_training import MODERN, NANOGPT, assert_same_training

import gpt.acceleration.precision
from gpt.acceleration.compiled import Gradients, compile_gradients
from gpt.config import RunConfig
from gpt.errors import UnsoundError
from gpt.training.loop import Point, train
from gpt.training.setup import set_up

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's compiler's own

Train = Callable[..., list[Point]]


@pytest.fixture
def run(tiny: RunConfig, cache: Path) -> Train:
    """The points of a run with these settings; of six steps, unless they say when to stop."""

    def run(**settings: str) -> list[Point]:
        common = {"log_interval": "1", "evaluations": "1"}
        if not settings.keys() & {"steps", "seconds"}:
            common["steps"] = "6"
        return list(train(set_up(tiny.override(common | settings), cache=cache)))

    return run


@pytest.mark.slow
@pytest.mark.parametrize("settings", [NANOGPT, MODERN], ids=["nanogpt", "modern"])
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [("float32", 2e-5), ("bfloat16", 5e-3)],
)
def test_compiled_a_run_has_the_same_losses(
    run: Train, settings: dict[str, str], dtype: str, tolerance: float
) -> None:
    """Dropout and parts of a batch of two sizes included."""
    common = settings | {"dtype": dtype, "n_embd": "32"}
    plain, compiled = (run(**common, compile=flag) for flag in ("False", "True"))

    assert_same_training(plain, compiled, tolerance)


def test_compiling_has_a_bucket_of_its_own_and_is_paid_from_a_budget_of_seconds(
    tiny: RunConfig, cache: Path, late: LateDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a compiler that takes half a minute for each shape; a forward pass takes a second."""

    def slow_compiler(function: Callable[..., object], **_: object) -> Callable[..., object]:
        shapes = set()

        def compiled(weights: object, x: torch.Tensor, *rest: torch.Tensor) -> object:
            if x.shape not in shapes:
                late.work(30.0)
                shapes.add(x.shape)
            return function(weights, x, *rest)

        return compiled

    def last(**settings: str) -> Point:
        common = {"log_interval": "1", "evaluations": "1"}
        setup = set_up(tiny.override(common | settings), cache=cache)
        *_, point = train(watch(setup, late, evaluation=0.0))
        return point

    monkeypatch.setattr(torch, "compile", slow_compiler)
    plain, compiled = last(steps="6"), last(steps="6", compile="True")
    assert (plain.seconds["compile"], plain.seconds["step"]) == (0.0, 5.0)
    assert (compiled.seconds["compile"], compiled.seconds["step"]) == (30.0 + 2.0, 5.0)

    budgeted = last(seconds="40", compile="True")  # of which 32 are for compiling and its check
    assert (budgeted.step, budgeted.seconds["step"]) == (8, 7.0)


@pytest.mark.slow
def test_a_compiler_that_computes_something_else_is_caught(
    run: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(*args: object) -> Gradients:
        right = compile_gradients(*args)  # type: ignore[arg-type]

        def call(
            x: torch.Tensor, y: torch.Tensor, factor: torch.Tensor
        ) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
            loss, gradients = right(x, y, factor)
            return loss, (gradients[0] * 1.01, *gradients[1:])

        return call

    monkeypatch.setattr(gpt.acceleration.precision, "compile_gradients", wrong)

    with pytest.raises(UnsoundError, match="of the uncompiled"):
        run(compile="True")


@pytest.mark.slow
def test_many_runs_can_be_compiled_in_one_process(run: Train) -> None:
    """torch compiles at most eight variants of one function."""
    for n_layer in range(1, 11):
        run(compile="True", steps="1", **{"model.kind": "bigram", "block_size": str(n_layer)})


@pytest.mark.slow
def test_no_compiler_is_an_infeasible_run(tiny: RunConfig, tmp_path: Path) -> None:
    """In a process of its own: torch looks for its compiler once."""
    code = f"""
from pathlib import Path
from gpt.config import RunConfig
from gpt.errors import InfeasibleError
from gpt.training.setup import set_up
from gpt.training.loop import train
config = RunConfig.from_json(Path({str(tmp_path / "config.json")!r}).read_text())
try:
    next(train(set_up(config, cache=Path({str(tmp_path)!r}))))
except InfeasibleError as error:
    print(error)
"""
    (tmp_path / "config.json").write_text(tiny.override({"compile": "True"}).to_json())
    environment = {"CXX": "/no/such/compiler", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "torch")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True
    )

    assert done.stdout.startswith("compile=True can't work here"), done.stderr
    assert "/no/such/compiler" in done.stdout


@pytest.mark.slow
def test_no_graph_is_pickled(run: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "torch"))
    run(compile="True", steps="1", **{"model.kind": "bigram"})

    kept = {path.suffix for path in (tmp_path / "torch").rglob("*") if path.is_file()}
    assert kept == {".cpp", ".so", ".lock", ".py"}
