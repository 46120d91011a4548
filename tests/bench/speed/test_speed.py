"""The table of `python -m bench.speed`: its arithmetic on numbers, and what is timed."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from rich.console import Console

from bench.speed import training
from bench.speed.latency import recompute
from bench.speed.measure import record
from bench.speed.real_nanogpt import RealNanoGPT
from bench.speed.rows import Row, TimingRace, a_a, as_table
from bench.speed.shapes import TINY, as_the_originals, fastest, nanogpt_at, write_text
from gpt.attention.cache import KVCache
from gpt.errors import ConfigError
from gpt.generate import generate
from gpt.model.gpt import build_model
from gpt.training.setup import Setup, set_up


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    config = nanogpt_at(TINY, write_text(TINY, tmp_path), "cpu")
    return set_up(config, cache=tmp_path / "cache")


def in_turns(rounds: int = 9, **seconds: float) -> TimingRace:
    """Ways that take so long, with 1% of noise."""
    rng = np.random.default_rng(0)
    return TimingRace(
        {n: s * np.exp(rng.normal(0, 0.01, (rounds, 2))) for n, s in seconds.items()}
    )


def test_a_ratio_is_of_both_passes_of_all_rounds() -> None:
    slow, fast = np.array([[4.0, 16.0], [2.0, 8.0]]), np.array([[1.0, 4.0], [1.0, 4.0]])
    row = Row(name="row", **TimingRace({"slow": slow, "fast": fast}).compared("fast", "slow"))

    assert row.ratio == pytest.approx(8**0.5)  # of 4 and 2, by logarithms


@pytest.mark.parametrize(
    ("ours", "verdict"), [(0.9, "faster"), (1.1, "slower"), (1.0, "tie"), (1.02, "undetermined")]
)
def test_ours_is_faster_or_slower_by_the_rule_for_cells(ours: float, verdict: str) -> None:
    row = Row(name="row", baseline="theirs", **in_turns(a=ours, b=1.0).compared("a", "b"))

    assert row.interval is not None
    low, high = row.interval
    assert low < 1 / ours < high
    assert row.verdict == verdict
    assert str(row) == f"row vs theirs: {row.ratio:.2f} ({low:.2f}–{high:.2f}), {verdict}"


def test_a_row_of_seconds_over_the_baseline_s_has_its_interval_there_too() -> None:
    ways = in_turns(a=1.0, b=5.0)
    share = Row(name="row", at_most=True, target=0.5, **ways.compared("a", "b"))
    assert share.interval is not None
    assert share.interval[0] < 0.2 < share.interval[1] < 0.25
    assert (share.verdict, share.met) == ("faster", True)


@pytest.mark.parametrize(("target", "met"), [(2.8, True), (3.0, None), (3.2, False)])
def test_a_target_within_the_interval_is_open(target: float, met: bool | None) -> None:
    row = Row(name="row", target=target, **in_turns(a=1.0, b=3.0).compared("a", "b"))

    assert row.met is met
    shown = [next(iter(column.cells)) for column in as_table([row]).columns]
    assert shown[-2] == {True: "yes", False: "no", None: "open"}[met]


@pytest.mark.parametrize(("rounds", "words"), [(1, "one round"), (3, "too few rounds")])
def test_too_few_rounds_tell_nothing(rounds: int, words: str) -> None:
    row = Row(name="row", target=1.5, **in_turns(rounds, a=1.0, b=3.0).compared("a", "b"))

    assert row.ratio == pytest.approx(3.0, rel=0.05)
    assert (row.interval, row.verdict, row.met) == (None, "undetermined", None)
    shown = [next(iter(column.cells)) for column in as_table([row]).columns]
    assert shown[4:6] == [words, "undetermined"]


def test_what_is_recorded_has_its_interval_if_there_is_one() -> None:
    logged: dict[str, float] = {}
    tracker = Mock()
    tracker.log = lambda _, metrics: logged.update({name: value for name, value, *_ in metrics})
    raced = Row(name="one", baseline="b", **in_turns(a=1.0, b=2.0).compared("a", "b"))
    once = Row(name="two", baseline="b", **in_turns(1, a=1.0, b=2.0).compared("a", "b"))

    record(tracker, [raced, once, Row(name="three", note="no text")], "", {}, status="FINISHED")

    low, high = raced.interval or (0.0, 0.0)
    assert logged == {
        "speed/one vs b": raced.ratio, "speed/one vs b low": low, "speed/one vs b high": high,
        "speed/two vs b": once.ratio,
    }  # fmt: skip


def test_three_rounds_of_three_ways_have_intervals() -> None:
    row = Row(name="row", **in_turns(3, a=1.0, b=2.0, c=3.0).compared("a", "b"))
    assert row.verdict == "faster"


@pytest.mark.parametrize(
    ("ratios", "target", "at_most", "met"),
    [
        ([1.0, 3.0, 9.0], 3.0, False, True),
        ([1.0, 2.9, 9.0], 3.0, False, False),
        ([0.01, 0.02], 0.02, True, True),
        ([0.5], 0.4, True, False),
        ([], 3.0, False, None),
        ([5.0], None, False, None),
    ],
)
def test_the_median_meets_the_target_or_does_not(
    ratios: list[float], target: float | None, at_most: bool, met: bool | None
) -> None:
    assert Row(name="row", ratios=ratios, target=target, at_most=at_most).met is met


def test_the_table_shows_spread_and_what_was_skipped() -> None:
    table = as_table(
        [
            Row(name="one", ratios=[1.0, 2.0, 4.0], target=3.0),
            Row(name="two", note="no text"),
            Row(name="three", ratios=[0.0124], target=0.02, at_most=True),
        ]
    )
    cells = [list(column.cells) for column in table.columns]

    ratio, spread = ["2.00", "–", "0.012"], ["rounds 1.00–4.00", "", "one round"]
    target, met, nothing = ["≥ 3", "", "≤ 0.02"], ["no", "", "yes"], ["", "", ""]
    assert cells[3:] == [ratio, spread, nothing, nothing, target, met, nothing]
    assert cells[1][1] == "skipped: no text"


def test_the_machines_own_noise_stands_beside_a_ratio() -> None:
    """One way took 1.0 and 1.1 s within a round, the other 2.0 and 1.9 at worst: 10%."""
    steady, other = np.array([[1.0, 1.1], [1.0, 1.0]]), np.array([[2.0, 1.9], [2.0, 2.0]])
    assert a_a(steady, other) == pytest.approx(0.1)
    row = Row(name="x", ours="a", baseline="b", ratios=[1.9], noise=a_a(steady, other))
    console = Console(width=99)
    with console.capture() as captured:
        console.print(as_table([row]))
    assert "≤ 10%" in captured.get()  # at worst: ± is for standard deviations


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_ceiling_is_of_the_precision_that_ours_computes_in(
    dtype: str, setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run in float32 is not to be measured by what bfloat16 could do."""
    speeds = {torch.float32: 100.0, torch.bfloat16: 400.0}
    monkeypatch.setattr(training, "measure_matmul", lambda _, dtype: speeds[dtype])
    ours = replace(setup, config=setup.config.override({"dtype": dtype}))

    assert training._ceiling(ours) == speeds[getattr(torch, dtype)]


def test_a_text_has_as_many_characters_as_the_shape_says(setup: Setup) -> None:
    assert setup.model.vocab_size == TINY.V


def test_the_recipes_differ_in_means_alone(setup: Setup) -> None:
    """Same shape, batch, update and number of weights."""
    plain = setup.config
    for config in (fastest(plain), as_the_originals(plain)):
        assert config.train.batch_size == plain.train.batch_size
        assert config.optimizer.learning_rate == plain.optimizer.learning_rate
        model = build_model(replace(config.model, kernel="sdpa"), TINY.V)
        assert model.n_params == setup.model.n_params


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's compiler's own
@pytest.mark.parametrize("gpu_defaults", [False, True])
def test_the_reference_is_trained_by_its_own_model(
    gpu_defaults: bool,
    checkout: Path,
    setup: Setup,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    products = torch.backends.cuda.matmul
    request.addfinalizer(partial(setattr, products, "allow_tf32", products.allow_tf32))
    torch.manual_seed(0)
    reference = RealNanoGPT(checkout, setup, gpu_defaults=gpu_defaults)
    losses = [float(reference.step()) for _ in range(30)]

    assert np.mean(losses[-5:]) < np.mean(losses[:5])
    assert capsys.readouterr().out == ""


def test_a_checkout_without_a_model_is_refused(tmp_path: Path, setup: Setup) -> None:
    with pytest.raises(ConfigError, match=r"has no model\.py"):
        RealNanoGPT(tmp_path / "nowhere", setup)


def test_both_ways_to_generate_see_the_same_context_at_each_token(setup: Setup) -> None:
    """A block of 16 that is full starts anew with 8: 1, 2, … 16, 8, 9, … 16, 8, …"""
    model = setup.model.eval()
    seen: list[int] = []

    def look(_: object, args: tuple[torch.Tensor], kwargs: dict[str, KVCache]) -> None:
        past = kwargs["cache"].length if "cache" in kwargs else 0
        seen.append(past + args[0].shape[1])

    with model.register_forward_pre_hook(look, with_kwargs=True):
        assert len(generate(model, [0], 40, seed=0, keep=8)) == 40
        remembered = seen.copy()
        seen.clear()
        assert recompute(model, 40, keep=8).shape == (1, 41)

    assert model.block_size == 16
    assert seen == remembered == [*range(1, 17), *range(8, 17), *range(8, 17), *range(8, 14)]
