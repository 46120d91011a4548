"""A small session of microbenchmarks, as pytest-benchmark saves it."""

import json
from typing import Any

import numpy as np

from bench.micro.alternating import QuestionTimes


def benchmark(name: str, T: int | None, seconds: float, **changes: Any) -> dict[str, Any]:
    series = "causal mean, fp32" if T else "optimizer step"
    info = {
        "series": series, "name": name, "T": T, "device": "cpu", "device_name": "a <CPU>",
        "dtype": "float32", "threads": 2, "flops": 10**6, "bytes": 10**4,
        "gflop_per_second": 1e-3 / seconds, "gigabytes_per_second": 1e-5 / seconds,
        "matmul_ceiling_gflop_per_second": 100.0, "copy_ceiling_gigabytes_per_second": 10.0,
        "share_of_matmul_ceiling": 1e-5 / seconds, "share_of_copy_ceiling": 1e-6 / seconds,
        "peak_memory_bytes": 1000 * (T or 1), **changes,
    }  # fmt: skip
    stats = {"median": seconds, "iqr": seconds / 100, "rounds": 9}
    return {"extra_info": info, "stats": stats}


def in_turns(T: int | None, **seconds: float) -> dict[str, Any]:
    """As it is saved, with 1% of noise."""
    rng = np.random.default_rng(0)
    taken = {n: s * np.exp(rng.normal(0, 0.01, (10, 2))) for n, s in seconds.items()}
    question = QuestionTimes(series="causal mean, fp32", T=T, device="cpu", seconds=taken)
    saved: dict[str, Any] = json.loads(json.dumps(question.to_json()))
    return saved


def session() -> dict[str, Any]:
    """Two answers over T, a question with one answer, and one that is wrong."""
    return {
        "benchmarks": [
            *(benchmark("loop", T, 1e-3 * T) for T in (8, 16, 32)),
            *(benchmark("cumsum", T, 1e-5 * T) for T in (8, 16, 32)),
            benchmark("adamw", None, 2e-3),
            {"extra_info": {}, "stats": {}},  # somebody else's
        ],
        "left_out": [{"series": "causal mean, fp32", "name": "magic", "reason": "wrong: it lies"}],
        "commit_info": {"id": "0123456789", "dirty": True},
        "datetime": "2030-01-02T03:04:05.678+00:00",
    }
