"""Rule 7: a throughput above the measured ceiling is an error."""

from pathlib import Path

import pytest

from bench import plausible
from gpt.config import CorpusConfig, ModelConfig, RunConfig, TrainConfig
from gpt.errors import UnsoundError
from gpt.setup import Setup, set_up


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    text = tmp_path / "text.txt"
    text.write_text("to be or not to be\n" * 100, "utf-8")
    return set_up(
        RunConfig(
            corpus=CorpusConfig(name=str(text)),
            model=ModelConfig(n_layer=1, n_head=1, n_embd=16, block_size=8),
            train=TrainConfig(device="cpu"),
        ),
        cache=tmp_path,
    )


def test_rule_07_a_speed_above_the_ceiling_is_refused(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    ceiling = 1e9
    monkeypatch.setattr(plausible, "measure_matmul", lambda *_: ceiling)
    plausible._ceiling.cache_clear()
    limit = plausible.MARGIN * ceiling / setup.model.flops_per_token(8)
    plausible.refuse_impossible_speed(setup, 0.99 * limit)
    with pytest.raises(UnsoundError, match="can't be faster than this machine's best"):
        plausible.refuse_impossible_speed(setup, 1.01 * limit)
    plausible._ceiling.cache_clear()


def test_rule_07_no_real_speed_is_refused(setup: Setup) -> None:
    """A busy machine is slower than its ceiling, not faster: 1% of it is an honest speed."""
    ceiling = plausible.measure_matmul(setup.device, setup.model.head.weight.dtype)
    honest = 0.01 * ceiling / setup.model.flops_per_token(8)
    plausible.refuse_impossible_speed(setup, honest)
