"""The kernel that `auto` picks: the fastest, if it is right, and the same one when asked again."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from torch import Tensor

from gpt.acceleration import kernel_choice
from gpt.acceleration.kernel_choice import Choice, Question, choose_kernel, measure
from gpt.acceleration.step import Step
from gpt.attention import KERNELS, Kernel
from gpt.attention import kernel as kernel_module
from gpt.attention.plain import matmul
from gpt.config import RunConfig
from gpt.errors import InfeasibleError
from gpt.training.setup import Setup, set_up

CPU = torch.device("cpu")
QUESTION = Question(dtype="float32", B=2, H=2, T=16, D=8, scale=0.5)


@pytest.fixture(autouse=True)
def short_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_choice, "ROUNDS", 3)
    monkeypatch.setattr(kernel_choice, "ROUND_SECONDS", 0.001)


def kernel(name: str, attend: object = matmul) -> Kernel:
    return Kernel(name=name, attend=attend)  # type: ignore[arg-type]


def slow(q: Tensor, k: Tensor, v: Tensor, *, scale: float, dropout_p: float = 0.0) -> Tensor:
    time.sleep(0.05)
    return matmul(q, k, v, scale=scale, dropout_p=dropout_p)


def wrong(q: Tensor, k: Tensor, v: Tensor, *, scale: float, dropout_p: float = 0.0) -> Tensor:
    """Nothing is faster than doing almost nothing."""
    return v + 0 * (q + k) * scale * dropout_p


def leaking(q: Tensor, k: Tensor, v: Tensor, *, scale: float, dropout_p: float = 0.0) -> Tensor:
    return matmul(q, k, v, scale=scale, dropout_p=dropout_p) + 1e-7 * v.mean(2, keepdim=True)


def test_the_slow_lose_and_the_wrong_take_no_part() -> None:
    kernels = [
        kernel("slow", slow),
        kernel("wrong", wrong),
        kernel("leaking", leaking),
        kernel("right"),
        replace(kernel("elsewhere"), devices=("cuda",)),
        replace(kernel("forward"), forward_only="it has none"),
    ]

    choice = measure(QUESTION, CPU, {kernel.name: kernel for kernel in kernels})

    assert choice.kernel == "right"
    assert set(choice.milliseconds) == {"slow", "right"}
    assert choice.milliseconds["slow"] >= 50
    assert list(choice.left_out) == ["wrong", "leaking", "elsewhere", "forward"]
    assert "off by" in choice.left_out["wrong"]
    assert "leaks the future" in choice.left_out["leaking"]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_kernel_is_measured_under_what_it_trains_under(
    dtype: str, settle: Callable[..., Setup], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its inputs in that dtype, and autocast on or off, as in a step of such a run."""
    seen: set[tuple[torch.dtype, bool]] = set()

    def watched(
        q: Tensor, k: Tensor, v: Tensor, *, scale: float, dropout_p: float = 0.0
    ) -> Tensor:
        seen.add((q.dtype, torch.is_autocast_enabled("cpu")))
        return matmul(q, k, v, scale=scale, dropout_p=dropout_p)

    monkeypatch.setitem(KERNELS, "matmul", kernel("matmul", watched))
    monkeypatch.setattr(kernel_module.Kernel, "unavailable", lambda *_, **__: None)
    x = torch.zeros(2, 16, dtype=torch.long)
    Step(settle(dtype=dtype, kernel="matmul"))(x, x, 0.0)
    trained = set(seen)
    seen.clear()
    measure(replace(QUESTION, dtype=dtype), CPU, {"matmul": KERNELS["matmul"]})

    assert len(trained) == 1
    assert seen - {(torch.float64, False)} == trained


def test_what_can_t_be_captured_takes_no_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a graph, which takes CUDA."""

    def capture(run: Callable[[], None], pool: object) -> tuple[Callable[[], None], None]:
        if run.args[0].name == "waiting":  # type: ignore[attr-defined]
            raise InfeasibleError(f"this work can't be captured in a CUDA graph: {pool}")
        return run, None

    monkeypatch.setattr(kernel_choice, "capture", capture)
    kernels = [
        kernel("waiting"),
        replace(kernel("seeding"), seeds_dropout=True),
        kernel("right"),
    ]
    named = {kernel.name: kernel for kernel in kernels}

    choice = measure(replace(QUESTION, captured=True), CPU, named)
    assert set(choice.milliseconds) == {"seeding", "right"}
    assert choice.left_out == {"waiting": "this work can't be captured in a CUDA graph: None"}

    choice = measure(replace(QUESTION, captured=True, dropout_p=0.1), CPU, named)
    assert choice.kernel == "right"
    assert "would drop the same at each launch" in choice.left_out["seeding"]
    with pytest.raises(InfeasibleError, match="some attention kernel must run"):
        measure(replace(QUESTION, captured=True), CPU, {"waiting": kernel("waiting")})


def test_none_that_is_right_is_infeasible() -> None:
    with pytest.raises(
        InfeasibleError, match=r"some attention kernel must run.*its output is off"
    ):
        measure(QUESTION, CPU, {"wrong": kernel("wrong", wrong)})


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_every_kernel_is_timed_or_has_a_reason(dtype: str) -> None:
    choice = measure(replace(QUESTION, dtype=dtype), CPU)

    assert sorted([*choice.milliseconds, *choice.left_out]) == sorted(KERNELS)
    assert choice.kernel in choice.milliseconds
    assert "compiles for seconds" in choice.left_out["flex"]
    assert "incremental" in choice.left_out


def test_it_is_remembered_until_the_question_changes(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = Mock(return_value=Choice(kernel="matmul", milliseconds={"matmul": 1}, left_out={}))
    monkeypatch.setattr(kernel_choice, "measure", measured)

    first = choose_kernel(QUESTION, CPU, cache=cache)
    assert choose_kernel(QUESTION, CPU, cache=cache) == first
    assert measured.call_count == 1

    choose_kernel(replace(QUESTION, T=17), CPU, cache=cache)
    assert measured.call_count == 2
    monkeypatch.setattr(torch, "get_num_threads", lambda: 99)
    choose_kernel(QUESTION, CPU, cache=cache)
    assert measured.call_count == 3
    monkeypatch.setattr(torch, "__version__", "99.0")
    choose_kernel(QUESTION, CPU, cache=cache)
    assert measured.call_count == 4


def test_what_is_remembered_can_be_read(cache: Path) -> None:
    choice = choose_kernel(QUESTION, CPU, cache=cache)
    (path,) = (cache / "kernels").glob("*/choice.json")

    assert json.loads(path.read_text())["milliseconds"] == choice.milliseconds


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"kernel": 5}', "same size"])
def test_a_damaged_answer_is_measured_again_with_a_word(
    content: str,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    measured = Mock(return_value=Choice(kernel="matmul", milliseconds={"matmul": 1}, left_out={}))
    monkeypatch.setattr(kernel_choice, "measure", measured)
    choice = choose_kernel(QUESTION, CPU, cache=cache)
    (path,) = (cache / "kernels").glob("*/choice.json")
    good = path.read_text()
    path.unlink()
    path.write_text(good.replace("matmul", "mangle") if content == "same size" else content)

    assert choose_kernel(QUESTION, CPU, cache=cache) == choice
    assert path.read_text() == good
    assert "other content in choice.json" in caplog.text


def test_a_run_trains_with_the_choice_and_its_config_names_it(
    tiny: RunConfig, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Question] = []

    def choose(question: Question, device: torch.device, *, cache: Path) -> Choice:  # noqa: ARG001
        asked.append(question)
        return Choice(kernel="online", milliseconds={}, left_out={})

    monkeypatch.setattr("gpt.training.setup.choose_kernel", choose)
    config = tiny.override({"kernel": "auto", "attention_scale": "n_embd", "dropout": "0.1"})
    setup = set_up(config, cache=cache)

    assert setup.config.model.kernel == "online"
    assert asked == [Question(dtype="float32", B=4, H=2, T=16, D=8, scale=16**-0.5, dropout_p=0.1)]


def test_a_kernel_that_cannot_train_here_is_infeasible(tiny: RunConfig, cache: Path) -> None:
    with pytest.raises(InfeasibleError, match="cpu device but incremental has no backward pass"):
        set_up(tiny.override({"kernel": "incremental"}), cache=cache)


@pytest.mark.parametrize("settings", [{"attention": "per_head"}, {"model": "bigram"}])
def test_a_model_that_calls_no_kernel_by_name_asks_for_none(
    tiny: RunConfig, cache: Path, settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gpt.training.setup.choose_kernel", Mock(side_effect=AssertionError))
    config = tiny.override({"kernel": "auto", **settings})

    assert set_up(config, cache=cache).config.key == config.key
