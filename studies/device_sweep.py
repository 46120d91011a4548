"""Which device and precision trains fastest?

The same run on every device, ranked by tokens per second of training steps alone. On CUDA each
step runs both ways: kernel by kernel from Python, and as one CUDA graph. A device that this
machine lacks makes a cell that is infeasible, not an error. Run the study with `--workers 1` on a
machine that does nothing else.
"""

from dataclasses import replace

from bench.spec import Study, Trial, choose
from gpt.config import Budget, CorpusConfig, CudaGraph, Device, Dtype, RunConfig, TrainConfig
from gpt.presets import NANOGPT

BASE = replace(
    NANOGPT,
    corpus=CorpusConfig(name="pydocs"),
    tokenizer=replace(NANOGPT.tokenizer, byte_fallback=True),
    train=TrainConfig(budget=Budget(steps=150), batch_size=12, evaluations=1),
)

EXECUTIONS: dict[str, CudaGraph] = {"eager": "off", "graph": "on"}


def cell(trial: Trial) -> RunConfig:
    device: Device = choose(trial, "device", ["cpu", "cuda", "mps"])
    dtype: Dtype = choose(trial, "dtype", ["float32", "bfloat16"])
    execution = choose(trial, "execution", list(EXECUTIONS)) if device == "cuda" else "eager"
    train = replace(BASE.train, device=device, dtype=dtype, cuda_graph=EXECUTIONS[execution])
    return replace(BASE, train=train)


study = Study(cell, metric="tokens_per_second")
