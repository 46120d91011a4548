"""What a study will take: counted right, timed where it must be, and learned from what was run."""

from dataclasses import replace
from pathlib import Path

import pytest
from workplace import Workplace

from bench.ledger.entries import Entry
from bench.ledger.outcome import Outcome
from bench.plan import calibration
from bench.plan.calibration import Known, calibrate, shapes_of
from bench.plan.forecast import Forecast, Total
from bench.plan.plan import Plan, Request, make_plan
from bench.plan.runs import Runs, runs_of
from bench.run import cost
from bench.run.cost import Measured, TextSize, run_seconds, shape_key, text_key
from bench.run.messages import Finished, Folders, Measure
from bench.run.worker import perform
from gpt.config import Budget, CorpusConfig, RunConfig, TokenizerConfig
from gpt.model.gpt import build_model
from gpt.presets import PRESETS
from gpt.training import flops
from gpt.training.loop import planned_steps, train
from gpt.training.setup import set_up

SIZE = TextSize(vocab_size=300, bytes_per_token=2.0, val_tokens=5000, test_tokens=1000)

MEASURED = Measured(
    step_seconds=0.01,
    spread=0.02,
    first_seconds=0.5,
    fixed_seconds=0.2,
    eval_token_seconds=1e-5,
    peak_memory_bytes=400_000_000,
    dtype="float32",
)


def known(tmp_path: Path) -> Known:
    return Known(tmp_path / "cache", n_workers=2, n_threads=1)


def knowing(tmp_path: Path, config: RunConfig, measured: Measured = MEASURED) -> Known:
    """A machine that has timed the shape of a config, on a text of `SIZE`."""
    found = known(tmp_path)
    found.keep_texts({text_key(config): SIZE})
    found.keep_shapes({shape_key(config, SIZE): measured})
    return found


@pytest.mark.parametrize("preset", PRESETS)
def test_operations_are_counted_as_the_model_counts_them(preset: str) -> None:
    config = PRESETS[preset]
    model = build_model(replace(config.model, kernel="sdpa"), SIZE.vocab_size)
    assert cost.flops_per_step(config, SIZE) == flops.flops_per_step(model, config)


@pytest.mark.parametrize("budget", [{"steps": 7}, {"tokens": 900}, {"bytes": 999}, {"flops": 1e8}])
def test_steps_are_counted_as_a_run_counts_them(
    tiny: RunConfig, tmp_path: Path, budget: dict[str, int]
) -> None:
    config = tiny.replace(
        tokenizer=TokenizerConfig(kind="bpe", vocab_size=300),
        model=replace(tiny.model, context_bytes=24),
        train=replace(tiny.train, budget=Budget(**budget)),  # type: ignore[arg-type]
    )
    setup = set_up(config, cache=tmp_path)
    encoded = setup.text.encoded
    size = TextSize(vocab_size=300, bytes_per_token=encoded.bytes_per_token, val_tokens=1)
    assert max(1, round(cost.n_steps(config, size))) == planned_steps(setup)


def test_a_run_s_tokens_are_counted_as_it_evaluates_them(tiny: RunConfig, tmp_path: Path) -> None:
    """So that what its forecast says of evaluation is what it does."""
    for part, evaluations in ((None, 3), (200, 3)):
        train_config = replace(tiny.train, evaluations=evaluations, val_part_bytes=part)
        config = tiny.replace(train=train_config)
        setup = set_up(config, cache=tmp_path)
        encoded = setup.text.encoded
        size = TextSize(
            vocab_size=setup.model.vocab_size,
            bytes_per_token=encoded.bytes_per_token,
            val_tokens=len(encoded.val),
        )
        points = list(train(setup))
        looks = [e for p in points for e in (p.evaluation, p.val_part) if e is not None]
        counted = sum(look.n_tokens for look in looks)
        free = replace(
            MEASURED, step_seconds=0.0, first_seconds=0.0, fixed_seconds=0.0, eval_token_seconds=1
        )
        assert run_seconds(config, size, free) == pytest.approx(
            counted, rel=0.2
        )  # whole lines, at most so many


def test_a_run_takes_its_steps_its_evaluations_and_what_comes_once(tiny: RunConfig) -> None:
    config = tiny.replace(
        train=replace(tiny.train, budget=Budget(steps=300), evaluations=2, val_part_bytes=None)
    )
    seconds = cost.AROUND_A_RUN_SECONDS + 0.5 + 0.2 + 300 * 0.01 + 2 * 5000 * 1e-5
    assert run_seconds(config, SIZE, MEASURED) == pytest.approx(seconds)

    timed = config.replace(train=replace(config.train, budget=Budget(seconds=9.0)))
    assert run_seconds(timed, SIZE, MEASURED) == pytest.approx(seconds - 3 + 9)

    lower = replace(MEASURED, dtype="bfloat16")  # evaluated once more, in float32
    assert run_seconds(config, SIZE, lower) == pytest.approx(seconds + 5000 * 1e-5)

    corpus = replace(tiny.corpus, test_fraction=0.1)
    tested = config.replace(corpus=corpus, train=replace(config.train, measure_test=True))
    assert run_seconds(tested, SIZE, MEASURED) == pytest.approx(seconds + 1000 * 1e-5)


def test_what_is_not_learned_by_makes_no_further_shape(tiny: RunConfig) -> None:
    key = shape_key(tiny, SIZE)
    warm = replace(tiny.optimizer, learning_rate=0.1, schedule="constant")
    assert shape_key(tiny.replace(optimizer=warm).with_seed(5), SIZE) == key
    assert shape_key(tiny.replace(train=replace(tiny.train, batch_size=5)), SIZE) != key
    assert shape_key(tiny.replace(model=replace(tiny.model, n_layer=2)), SIZE) != key
    assert shape_key(tiny, replace(SIZE, vocab_size=301)) != key
    held = tiny.replace(model=replace(tiny.model, context_bytes=32))
    assert shape_key(held, SIZE) == key  # of 16 tokens too


def test_a_shape_between_two_lies_between_them(tiny: RunConfig, tmp_path: Path) -> None:
    configs = [tiny.replace(model=replace(tiny.model, n_layer=n)) for n in (1, 2, 4)]
    found = known(tmp_path)
    found.keep_texts({text_key(tiny): SIZE})
    ends = [replace(MEASURED, step_seconds=0.01), replace(MEASURED, step_seconds=0.04)]
    for config, measured in zip((configs[0], configs[2]), ends, strict=True):
        found.keep_shapes({shape_key(config, SIZE): measured})
    low, between, high = Forecast(configs, found).costs
    assert low
    assert between
    assert high
    assert low.seconds < between.seconds < high.seconds
    assert (low.exact, between.exact, high.exact) == (True, False, True)


def test_what_was_run_counts_and_not_what_was_timed(tiny: RunConfig, tmp_path: Path) -> None:
    def ended(seconds: float, outcome: Outcome) -> Entry:
        summary = {"peak_memory_bytes": 7e8}
        facts = {"run_seconds": seconds}
        return Entry(
            label="a", config=tiny, outcome=outcome, reason="", summary=summary, facts=facts
        )

    entries = [ended(s, Outcome.COMPLETE) for s in (70.0, 80.0, 900.0)]
    entries += [ended(1.0, Outcome.DIVERGED)]
    forecast = Forecast([tiny], knowing(tmp_path, tiny), entries=entries)
    learned = forecast.of(tiny)
    assert learned
    assert (learned.seconds, learned.memory_bytes, learned.exact) == (80.0, 700_000_000, True)
    assert forecast.seconds_of(tiny.with_seed(8)) == 80.0


def test_a_device_that_is_absent_has_no_forecast(tiny: RunConfig, tmp_path: Path) -> None:
    there = Forecast([tiny], knowing(tmp_path, tiny), devices=["cpu"])
    assert there.of(tiny) is not None
    assert there.of(tiny.replace(train=replace(tiny.train, device="cuda"))) is None


def plan_of(place: Workplace, **options: object) -> Plan:
    return make_plan(Request(study=place.write(), overrides={}, **options))  # type: ignore[arg-type]


def test_runs_of_a_race_are_known_at_its_end(bare: Workplace) -> None:
    fixed = runs_of(plan_of(bare, seeds=3))
    assert (fixed.fewest, fixed.expected, fixed.most, fixed.exact) == (6, 6, 6, True)
    race = runs_of(replace(plan_of(bare), looks=(2, 3, 12)))
    assert (race.fewest, race.most, race.exact) == (4, 24, False)
    assert 4 <= race.expected < 24


def test_a_winner_s_confirmation_counts(bare: Workplace) -> None:
    plan = plan_of(bare, seeds=3)
    tested = [
        replace(cell, config=cell.config.replace(corpus=replace(cell.config.corpus,
                                                                test_fraction=0.1)))
        for cell in plan.grid.cells
    ]  # fmt: skip
    runs = runs_of(replace(plan, grid=replace(plan.grid, cells=tested)))
    assert (runs.expected, runs.n_confirming) == (9, (3, 3, 3))


def test_a_total_grows_with_the_runs_and_shrinks_with_the_workers(bare: Workplace) -> None:
    plan = plan_of(bare, seeds=50)
    config = plan.grid.cells[0].config
    configs = [cell.config for cell in plan.grid.cells]
    found = knowing(bare.folder, config)

    def expected(n_workers: int, n_runs: int) -> Total:
        forecast = Forecast(configs, found, n_workers=n_workers)
        total = forecast.total(plan, Runs(fewest=n_runs, expected=n_runs, most=n_runs))
        assert total is not None
        return total

    one, two, more = expected(1, 100), expected(2, 100), expected(1, 200)
    a_run = Forecast(configs, found).mean_seconds
    assert a_run is not None
    assert one.low < one.expected < one.high
    assert more.expected - one.expected == pytest.approx(100 * a_run)
    assert one.expected - two.expected == pytest.approx(50 * a_run, rel=0.05)


def test_a_text_that_was_never_seen_is_guessed_from_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("x" * 10_000)
    corpus = CorpusConfig(name=str(path), val_fraction=0.2, test_fraction=0.1)
    byte, bpe = (
        cost.guess_size(corpus, tokenizer)
        for tokenizer in (
            TokenizerConfig(kind="byte"),
            TokenizerConfig(kind="bpe", vocab_size=1024),
        )
    )
    assert byte == TextSize(
        vocab_size=256, bytes_per_token=1.0, val_tokens=2000, test_tokens=1000, known=False
    )
    assert 2 < bpe.bytes_per_token < 3
    assert bpe.vocab_size == 1024


def test_shapes_are_timed_by_the_workers_and_kept(
    tiny: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the very loop that trains; the next command finds them in the cache."""
    other = tiny.replace(model=replace(tiny.model, n_layer=2))
    found = known(tmp_path)
    folders = Folders(cache=tmp_path, corpora_dir=None)
    shapes = shapes_of([tiny, other, tiny.with_seed(3)], found)
    assert len(shapes) == 2
    executor = InProcess()
    monkeypatch.setattr(calibration, "SHAPE_SECONDS", 0.02)
    calibrate(shapes, found, executor, folders, seconds=600)  # type: ignore[arg-type]

    assert shapes_of([tiny, other], found) == shapes_of([tiny, other], known(tmp_path)) == {}
    for measured in known(tmp_path).shapes.values():
        assert measured.step_seconds > 0
        assert measured.eval_token_seconds > 0
        assert measured.peak_memory_bytes > 0
    monkeypatch.setattr(calibration, "FRESH_SECONDS", -1.0)
    later = known(tmp_path)
    assert len(shapes_of([tiny, other], later)) == 2  # timed again, and counting till then
    assert Forecast([tiny], later).of(tiny) is not None


def test_of_many_shapes_the_first_timed_lie_far_apart(tiny: RunConfig, tmp_path: Path) -> None:
    configs = [tiny.replace(model=replace(tiny.model, n_layer=n)) for n in range(1, 18)]
    found = known(tmp_path)
    executor = InProcess(measured=MEASURED)
    shapes = shapes_of(configs, found)
    folders = Folders(cache=tmp_path, corpora_dir=None)
    calibrate(shapes, found, executor, folders, seconds=60)  # type: ignore[arg-type]
    depths = [task.config.model.n_layer for task in executor.tasks]
    assert set(depths) == set(range(1, 18))
    assert depths[:3] == [1, 17, 9]
    calibrate(shapes, known(tmp_path), executor, folders, seconds=0)  # type: ignore[arg-type]
    assert len(executor.tasks) == 17


def test_a_shape_that_takes_long_to_time_is_left_to_the_others(
    tiny: RunConfig, tmp_path: Path
) -> None:
    """It has its forecast all the same; alone, it would be timed."""
    huge = tiny.replace(model=replace(tiny.model, n_embd=8192, n_layer=24))
    found, folders = known(tmp_path), Folders(cache=tmp_path, corpora_dir=None)
    executor = InProcess(measured=MEASURED)
    shapes = shapes_of([tiny, huge], found)
    calibrate(shapes, found, executor, folders, seconds=8)  # type: ignore[arg-type]
    assert [task.config.model.n_embd for task in executor.tasks] == [16]
    small, large = Forecast([tiny, huge], found).costs
    assert small
    assert large
    assert large.seconds > 1000 * small.seconds
    calibrate(shapes_of([huge], found), found, executor, folders, seconds=8)  # type: ignore[arg-type]
    assert len(executor.tasks) == 2


def test_a_damaged_memory_of_costs_is_forgotten(tiny: RunConfig, tmp_path: Path) -> None:
    knowing(tmp_path, tiny)
    assert known(tmp_path).shapes
    for file in (tmp_path / "cache" / "costs").iterdir():
        file.write_text('{"half')
    assert known(tmp_path).shapes == {}
    assert not known(tmp_path).size(tiny).known


class InProcess:
    """A worker that does what it is asked here, or answers with what it is given."""

    n_workers = n_free = 1

    def __init__(self, measured: Measured | None = None) -> None:
        self.tasks: list[Measure] = []
        self._measured = measured
        self._answers: list[tuple[str, object]] = []

    def submit(self, name: str, task: Measure) -> None:
        self.tasks.append(task)
        if self._measured:
            done = Finished(outcome=Outcome.COMPLETE)
            self._answers += [(name, self._measured), (name, done)]
            return

        def answer(message: object) -> bool:
            self._answers.append((name, message))
            return True

        perform(task, answer)

    def events(self, _: float) -> list[tuple[str, object]]:
        answers, self._answers = self._answers, []
        return answers
