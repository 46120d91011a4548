"""CUDA graphs: captured, a run learns the same; where there are none, it is said or left."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from same_training import MODERN, NANOGPT, assert_same_training

import gpt.acceleration.cuda_graph
from gpt.acceleration.cuda_graph import CapturedStep, capture
from gpt.config import CudaGraph, Dtype, ModelConfig, TrainConfig
from gpt.device import available_devices
from gpt.errors import InfeasibleError
from gpt.generate import generate
from gpt.model.gpt import GPT
from gpt.training.loop import Point
from gpt.training.setup import Setup, resolve_cuda_graph

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's compiler's own

cuda = pytest.mark.skipif("cuda" not in available_devices(), reason="this machine lacks CUDA")

FUSED = MODERN | {"fused": "True"}


@cuda
@pytest.mark.parametrize(
    "settings", [NANOGPT, MODERN | {"fused": "True"}], ids=["nanogpt", "modern"]
)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-4), ("bfloat16", 5e-3)])
def test_captured_a_run_has_the_same_losses(
    run: Callable[..., list[Point]], settings: dict[str, str], dtype: str, tolerance: float
) -> None:
    """Dropout, parts of a batch of two sizes and a learning rate that moves included."""
    settings = settings | {"device": "cuda", "dtype": dtype, "log_interval": "1"}
    plain, captured = (run(**settings, cuda_graph=graph) for graph in ("off", "on"))

    assert_same_training(plain, captured, tolerance)
    assert len({point.train_loss for point in captured}) == len(captured)


@cuda
@pytest.mark.slow
def test_captured_and_compiled_a_run_has_the_same_losses(
    run: Callable[..., list[Point]],
) -> None:
    settings = FUSED | {"device": "cuda", "dtype": "bfloat16", "log_interval": "1", "steps": "6"}
    plain, both = run(**settings), run(**settings, compile="True", cuda_graph="on")

    for a, b in zip(plain, both, strict=True):
        assert b.train_loss == pytest.approx(a.train_loss, rel=5e-3)


@cuda
def test_what_waits_for_the_device_is_infeasible() -> None:
    """And leaves the device as it was, for the next run of this process."""
    x, before = torch.ones(3, device="cuda"), torch.cuda.current_stream()
    with pytest.raises(InfeasibleError, match="this work can't be captured in a CUDA graph"):
        capture(lambda: x.sum().item())

    assert torch.cuda.current_stream() == before
    assert torch.rand(3, device="cuda").sum().item() > 0
    replay, doubled = capture(lambda: x * 2)
    replay()
    assert doubled.tolist() == [2.0, 2.0, 2.0]


def as_a_graph_would(
    work: Callable[[], tuple[torch.Tensor, torch.Tensor]], **_: object
) -> tuple[Callable[[], None], tuple[torch.Tensor, torch.Tensor]]:
    """Nothing is computed yet; then, each time, into the same memory."""
    returned = torch.zeros(()), torch.zeros(())

    def replay() -> None:
        for kept, new in zip(returned, work(), strict=True):
            kept.copy_(new)

    return replay, returned


@pytest.mark.parametrize("device", [name for name in available_devices() if name != "mps"])
def test_a_step_reads_what_it_is_given_each_time(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if device == "cpu":
        monkeypatch.setattr(gpt.acceleration.cuda_graph, "capture", as_a_graph_would)
    weight = torch.zeros((), device=device)

    def step(
        x: torch.Tensor, y: torch.Tensor, rate: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        weight.add_(x.sum() * rate)
        return y.sum(), weight.clone()

    captured = CapturedStep(step)
    ones = torch.ones(2, 2, device=device)
    results = [captured(ones * i, ones * i, 10.0**i) for i in range(3)]

    assert [float(loss) for loss, _ in results] == [0.0, 4.0, 8.0]
    assert float(results[-1][1]) == float(weight) == 0 + 40 + 800


@cuda
@pytest.mark.parametrize("position", ["learned", "rotary"])
def test_a_captured_text_is_the_likeliest_and_the_same_for_a_seed(position: str) -> None:
    torch.manual_seed(0)
    config = ModelConfig(block_size=16, n_layer=2, n_head=2, n_embd=32, init="torch")
    model = GPT(dataclasses.replace(config, position=position), 20).to("cuda").eval()
    expected = [1, 2]
    while len(expected) < 60:
        n = len(expected)
        window = expected[-(n if n <= 16 else 8 + (n - 17) % 9) :]
        expected.append(int(model(torch.tensor([window], device="cuda"))[0, -1].argmax()))

    write = partial(generate, model, keep=8, cuda_graph=True)
    assert write([1, 2], 58, seed=0, temperature=0.0) == expected[2:]
    one, same, other = (write([1], 60, seed=seed, top_k=5) for seed in (3, 3, 4))
    assert one == same != other


def test_a_cpu_has_none(settle: Callable[..., Setup]) -> None:
    assert settle(cuda_graph="auto").config.train.cuda_graph == "off"
    assert settle(cuda_graph="off").config.train.cuda_graph == "off"
    with pytest.raises(
        InfeasibleError, match="requested, but this run can't be captured: a cpu device has no"
    ):
        settle(cuda_graph="on")


def test_auto_captures_wherever_it_can() -> None:
    """Asked of the config alone: no device is needed. A kernel that isn't called has no say."""

    def settled(graph: CudaGraph, dtype: Dtype = "float32", **shape: Any) -> CudaGraph:
        train = TrainConfig(cuda_graph=graph, dtype=dtype)
        model = ModelConfig(dropout=0.1, **shape)
        return resolve_cuda_graph(train, model, torch.device("cuda"))

    assert settled("auto") == settled("on") == settled("auto", kernel="auto") == "on"
    assert settled("auto", kernel="online", attention="per_head") == "on"
    assert (
        settled("auto", kernel="online") == settled("auto", "float16") == settled("off") == "off"
    )
    with pytest.raises(InfeasibleError, match="online would drop the same at each launch"):
        settled("on", kernel="online")


@cuda
def test_auto_records_on_cuda_but_not_in_float16(settle: Callable[..., Setup]) -> None:
    assert settle(device="cuda", cuda_graph="auto").config.train.cuda_graph == "on"
    half = {"device": "cuda", "dtype": "float16"}
    assert settle(**half, cuda_graph="auto").config.train.cuda_graph == "off"
    with pytest.raises(InfeasibleError, match="in float16"):
        settle(**half, cuda_graph="on")


@cuda
def test_a_kernel_that_seeds_its_dropout_in_python_is_not_captured(
    settle: Callable[..., Setup],
) -> None:
    dropped = {"device": "cuda", "dropout": 0.1, "kernel": "online"}
    assert settle(**dropped, cuda_graph="auto").config.train.cuda_graph == "off"
    with pytest.raises(InfeasibleError, match="would drop the same at each launch"):
        settle(**dropped, cuda_graph="on")
    assert settle(**dropped | {"kernel": "auto"}, cuda_graph="on").config.model.kernel != "online"
