"""What this machine lacks is said before anything trains, and only where cells ask for it."""

from typing import Any
from unittest.mock import Mock

import pytest
import torch
from workplace import Workplace

from bench.plan.lacking import say_lacking
from bench.plan.plan import Request, make_plan
from gpt.errors import MachineError

NO_BFLOAT16 = "No bfloat16 instructions here: training in float32."

DEVICES = """
device = choose(trial, "device", ["cpu", "cuda", "mps"])
return replace(BASE, train=replace(BASE.train, device=device))
"""


@pytest.fixture
def tiny(bare: Workplace, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    """A tiny study, on a machine with a CPU that has neither bfloat16 nor a compiler."""
    monkeypatch.setattr("bench.plan.lacking.product_dtype", lambda _: torch.float32)
    monkeypatch.setattr("bench.plan.lacking.available_devices", lambda: ["cpu"])
    monkeypatch.setattr("shutil.which", lambda _: None)
    monkeypatch.delenv("CXX", raising=False)
    bare.write()
    return bare


def lacking(**options: Any) -> list[str]:
    request = Request(study="tiny.py", overrides=options.pop("overrides", {}), **options)
    return say_lacking(request, make_plan(request))


@pytest.mark.usefixtures("tiny")
def test_who_asks_for_nothing_lacks_nothing() -> None:
    assert lacking() == []


@pytest.mark.usefixtures("tiny")
def test_what_dtype_auto_comes_to_is_said_where_that_is_float32(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert lacking(overrides={"dtype": "auto"}) == [NO_BFLOAT16]
    assert lacking(overrides={"dtype": "auto"}, executor="ray") == []  # other machines train
    [emulated] = lacking(overrides={"dtype": "bfloat16"})
    assert "2 cells may be slow in bfloat16, which is emulated" in emulated
    monkeypatch.setattr("bench.plan.lacking.product_dtype", lambda _: torch.bfloat16)
    assert lacking(overrides={"dtype": "auto"}) == []


def test_a_device_that_is_not_there_is_named_with_the_cells_that_ask_for_it(
    tiny: Workplace,
) -> None:
    tiny.write(cell=DEVICES)

    assert lacking() == [
        "No cuda device here: 1 cell can't be run.",
        "No mps device here: 1 cell can't be run.",
    ]


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("asked", [{"kernel": "native"}, {"kernel": "flex"}, {"compile": "True"}])
def test_a_compiler_is_missed_where_something_is_compiled(
    asked: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    missed = [sentence for sentence in lacking(overrides=asked) if "compiler" in sentence]
    assert missed == ["No C++ compiler here (c++, g++, clang++): 2 cells can't be run."]
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}")
    assert not any("compiler" in sentence for sentence in lacking(overrides=asked))
    native = [sentence for sentence in lacking(overrides=asked) if "kernel native" in sentence]
    assert len(native) == ("native" in asked.values())


def test_a_study_and_its_plan_say_it_once(
    tiny: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_texts(*_: object) -> None:
        raise MachineError("no texts in this test")

    monkeypatch.setattr("bench.conduct.session._start_executor", Mock())
    monkeypatch.setattr("bench.conduct.session.prepare_texts", no_texts)
    study = tiny.write()
    ran = tiny.run(study, "--set", "dtype=auto")
    planned = tiny.run(study, "--set", "dtype=auto", "--plan")

    assert ran.exit_code == MachineError.exit_code
    assert ran.stderr.splitlines()[0] == NO_BFLOAT16
    assert ran.output.count(NO_BFLOAT16) == planned.stdout.count(NO_BFLOAT16) == 1
