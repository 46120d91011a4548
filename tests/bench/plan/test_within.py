"""`--within`: a budget that ends in time, under a name of its own, and the same one each time."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from workplace import Workplace

from bench.plan import calibration
from bench.plan.calibration import Known
from bench.plan.foresee import foresee_plan
from bench.plan.plan import Request, make_plan
from bench.plan.runs import runs_of
from bench.plan.within import ROOM, fit, say_exactly
from bench.run.cost import Measured, TextSize, shape_key, text_key
from gpt.cache import default_cache
from gpt.errors import ConfigError

SIZE = TextSize(vocab_size=300, bytes_per_token=2.0, val_tokens=500)

Takes = Callable[[float], None]
"""Makes a step take so many seconds on this machine."""


@pytest.fixture
def takes(bare: Workplace) -> Takes:
    """A study of 5,000 steps a run, two seeds of two cells, one run at a time."""
    bare.write(steps=5000)

    def taking(step_seconds: float) -> None:
        known = Known(default_cache(), n_workers=1, n_threads=1)
        measured = Measured(
            step_seconds=step_seconds, spread=0.0, first_seconds=0.1, fixed_seconds=0.1,
            eval_token_seconds=0.0, peak_memory_bytes=10**8, dtype="float32",
        )  # fmt: skip
        for cell in make_plan(Request(study="tiny.py", overrides={})).grid.cells:
            known.keep_texts({text_key(cell.config): SIZE})
            known.keep_shapes({shape_key(cell.config, SIZE): measured})

    taking(0.01)
    return taking


REQUEST = Request(study="tiny.py", overrides={})


@pytest.mark.usefixtures("takes")
def test_the_budget_is_the_largest_of_two_digits_that_ends_in_time() -> None:
    scaled, words = fit(REQUEST, 60.0, keep=False)
    [(unit, amount)] = scaled.overrides.items()
    assert unit == "steps"
    assert "To end within 1min" in words
    assert "instead of the study's 5,000 steps" in words

    def seconds(steps: int) -> float:
        request = replace(REQUEST, overrides={"steps": str(steps)})
        plan = make_plan(request)
        forecast = foresee_plan(request, plan)
        assert forecast is not None
        total = forecast.total(plan, runs_of(plan))
        assert total is not None
        return ROOM * total.expected

    steps = int(amount)
    assert steps % 100 == 0  # of four digits two
    assert seconds(steps) <= 60 < seconds(steps + 100)


def test_a_study_that_ends_in_time_keeps_its_budget(takes: Takes) -> None:
    takes(0.001)
    same, words = fit(REQUEST, 3600.0, keep=False)
    assert same == REQUEST
    assert "within 1h: the study's own budget, 5,000 steps, is small enough" in words


def test_the_same_command_goes_on_with_what_it_chose(takes: Takes, bare: Workplace) -> None:
    """Though the machine has become slower since; `--fresh` chooses anew."""
    first, _ = fit(REQUEST, 60.0, keep=True)
    takes(0.05)
    again, words = fit(REQUEST, 60.0, keep=True)
    assert again == first
    assert words.startswith("Kept from before")
    assert make_plan(again).ledger_name == make_plan(first).ledger_name
    assert fit(REQUEST, 90.0, keep=False)[0] != first

    anew, _ = fit(replace(REQUEST, fresh=True), 60.0, keep=True)
    assert int(anew.overrides["steps"]) < int(first.overrides["steps"])
    assert fit(REQUEST, 60.0, keep=True)[0].overrides == anew.overrides
    [file] = (bare.folder / "mlruns" / "ledger").iterdir()
    file.write_text("{half")
    assert fit(REQUEST, 60.0, keep=True)[0].overrides == anew.overrides  # chosen again


def test_a_plan_shows_the_scaled_study_and_keeps_nothing(takes: Takes, bare: Workplace) -> None:  # noqa: ARG001
    result = bare.run("tiny.py", "--plan", "--within", "1min")
    assert result.exit_code == 0, result.output
    assert "tiny · steps=" in result.stdout
    assert "Time: about 49 s in all" in result.stdout  # with room for 15%
    assert result.stderr.startswith("To end within 1min: ")
    assert not (bare.folder / "mlruns").exists()


def test_a_time_that_is_too_short_is_refused_with_one_that_works(
    takes: Takes, bare: Workplace
) -> None:
    takes(1.0)
    result = bare.run("tiny.py", "--within", "20s")
    assert result.exit_code == 2
    assert "--within must be at least " in result.stderr
    assert "100 steps" in result.stderr
    assert len(result.stderr.splitlines()) == 2
    assert not (bare.folder / "mlruns").exists()
    enough = result.stderr.partition("at least ")[2].split()[0]
    assert bare.run("tiny.py", "--plan", "--within", enough).exit_code == 0


@pytest.mark.usefixtures("takes")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--within", "5 minutes"], ["'5 minutes'", "90s, 5min or 1h"]),
        (["--within", "0s"], ["'0s'"]),
        (["--within", "1h", "--budget", "steps=5"], ["--within", "--budget", "keep one"]),
        (["--within", "1h", "--set", "tokens=5"], ["--within", "--set tokens=5", "keep one"]),
        (["--within", "1h", "--executor", "ray"], ["this machine", "--executor ray"]),
    ],
)
def test_what_chooses_the_budget_too_is_refused(
    bare: Workplace, arguments: list[str], words: list[str]
) -> None:
    result = bare.run("tiny.py", *arguments)
    assert result.exit_code == 2
    for word in words:
        assert word in result.stderr


@pytest.mark.usefixtures("takes")
def test_a_study_that_varies_its_budget_has_none_to_scale(bare: Workplace) -> None:
    bare.write(
        cell="""
steps = choose(trial, "steps", [1000, 2000])
return replace(BASE, train=replace(BASE.train, budget=Budget(steps=steps)))
"""
    )
    with pytest.raises(ConfigError, match="the study varies it"):
        fit(REQUEST, 60.0, keep=False)


def test_a_plan_times_what_is_not_known_and_the_next_one_need_not(
    bare: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the workers, with real steps."""
    monkeypatch.setattr("bench.plan.foresee.shapes_of", calibration.shapes_of)
    monkeypatch.setattr(calibration, "SHAPE_SECONDS", 0.05)
    study = bare.write()
    first = bare.run(study, "--plan")
    assert "≈ " in first.stdout  # its text was not made ready yet
    assert " GB  " in first.stdout
    assert "Time: about " in first.stdout

    def no_worker(*_: object) -> None:
        raise AssertionError("nothing is left to time")

    monkeypatch.setattr("bench.plan.foresee.LocalExecutor", no_worker)
    assert bare.run(study, "--plan").stdout == first.stdout


@pytest.mark.parametrize(
    ("seconds", "words"), [(90.0, "90s"), (300.0, "5min"), (3600.0, "1h"), (5400.0, "90min")]
)
def test_a_time_is_said_as_it_is_typed(seconds: float, words: str) -> None:
    assert say_exactly(seconds) == words
