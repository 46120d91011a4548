"""What a worker says of a run that fails: each kind of failure by its own name."""

import errno
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from safetensors.torch import load_model

from bench.ledger.outcome import Outcome
from bench.run import worker as work
from bench.run.facts import facts_of
from bench.run.messages import Finished, Folders, Message, Prepare, Prepared, Started, Train
from bench.run.worker import perform
from bench.system import provenance
from gpt.attention.cpp import library
from gpt.config import Budget, CorpusConfig, ModelConfig, RunConfig, TokenizerConfig, TrainConfig
from gpt.corpora.download import SOURCES
from gpt.errors import DataError, DivergedError, InfeasibleError, MachineError, UnsoundError
from gpt.training.evaluate import evaluate_split
from gpt.training.loop import Point
from gpt.training.setup import set_up


@pytest.fixture
def task(tmp_path: Path) -> Train:
    text = tmp_path / "text.txt"
    text.write_text("to be or not to be\n" * 100, "utf-8")
    config = RunConfig(
        corpus=CorpusConfig(name=str(text)),
        model=ModelConfig(n_layer=1, n_head=1, n_embd=8, block_size=8),
        train=TrainConfig(budget=Budget(steps=2), evaluations=1, sample_tokens=2, device="cpu"),
    )
    folders = Folders(cache=tmp_path / "cache", corpora_dir=None)
    return Train(config=config, folders=folders, folder=tmp_path / "run")


def finish(task: Train) -> Finished:
    """The last of what a worker sends."""
    messages: list[Message] = []

    def send(message: Message) -> bool:
        messages.append(message)
        return True

    perform(task, send)
    assert [isinstance(message, Finished) for message in messages].count(True) == 1
    last = messages[-1]
    assert isinstance(last, Finished)
    return last


def test_a_run_that_ends_is_complete(task: Train) -> None:
    assert finish(task).outcome is Outcome.COMPLETE


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_saved_weights_give_the_recorded_numbers(dtype: str, task: Train) -> None:
    """Those of the last evaluation, though an earlier one was better; in float32, as they lie."""
    settings = {"learning_rate": "0.3", "schedule": "constant", "init": "torch", "dtype": dtype}
    config = task.config.override({**settings, "steps": "4", "evaluations": "2"})
    config = config.override({"val_part_bytes": "None"})
    config = config.override({"measure_test": "True", "test_fraction": "0.1", "n_embd": "32"})
    messages: list[Message] = []

    perform(replace(task, config=config), lambda message: messages.append(message) or True)

    finished = messages[-1]
    assert isinstance(finished, Finished)
    assert finished.summary is not None
    losses = [m.evaluation.loss for m in messages if isinstance(m, Point) and m.evaluation]
    assert min(losses) < losses[-1]
    plain = set_up(config.override({"dtype": "float32"}), cache=task.folders.cache)
    load_model(plain.model, task.folder / "model.safetensors")
    for split in ("val", "test"):
        found = evaluate_split(plain, split).bits_per_byte
        recorded = finished.summary[f"{split}_bits_per_byte"]
        if dtype == "float32":
            assert f"{split}_bits_per_byte_float32" not in finished.summary
            assert found == recorded
        else:
            assert found == finished.summary[f"{split}_bits_per_byte_float32"]
            assert found != recorded
            assert found == pytest.approx(recorded, rel=0.02)


def test_the_facts_of_a_run_need_no_compiler(task: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is compiled to write them; a machine without a compiler is of the same kind."""
    monkeypatch.setattr(library, "_run", lambda command: pytest.fail(f"it started {command}"))
    library._load.cache_clear()
    facts: dict[str, object] = {}

    def send(message: Message) -> bool:
        if isinstance(message, Started):
            facts.update(message.facts)
        return False

    perform(task, send)

    assert facts["environment"] == provenance.environment_digest()


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ZeroDivisionError("a mistake of ours"), Outcome.FAILED),
        (DivergedError(1, float("nan")), Outcome.DIVERGED),
        (UnsoundError("it leaks"), Outcome.UNSOUND),
        (InfeasibleError("no room"), Outcome.INFEASIBLE),
        (torch.OutOfMemoryError("out of memory"), Outcome.OUT_OF_MEMORY),
        (MemoryError("no room for 7 PiB"), Outcome.OUT_OF_MEMORY),
        (OSError(errno.ENOMEM, "mmap"), Outcome.OUT_OF_MEMORY),
        (OSError(errno.ENOENT, "no such file"), Outcome.FAILED),
        (RuntimeError("mat1 and mat2 can't be multiplied"), Outcome.FAILED),
    ],
)
def test_rule_13_no_failure_counts_as_complete(
    error: Exception, outcome: Outcome, task: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raising(_: object) -> Iterator[None]:
        raise error
        yield

    monkeypatch.setattr(work, "train", raising)
    finished = finish(task)
    assert finished.outcome is outcome
    assert finished.summary is None
    assert str(error).splitlines()[0] in finished.reason


@pytest.mark.parametrize("allocate", [torch.empty, numpy.empty, bytearray])
def test_a_cpu_without_the_memory_is_no_fault_of_the_run(
    allocate: Callable[[int], object], task: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As torch, numpy and Python say so themselves."""
    monkeypatch.setattr(work, "train", lambda _: allocate(10**16))
    finished = finish(task)
    assert finished.outcome is Outcome.OUT_OF_MEMORY
    assert finished.outcome.value == "infeasible (out of memory)"
    assert finished.reason


def test_a_text_that_memory_can_not_hold_is_the_machine_s_fault(
    task: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "load_text", lambda *_, **__: bytearray(10**16))
    sent: list[Message] = []
    perform(Prepare(config=task.config, folders=task.folders), lambda m: not sent.append(m))  # type: ignore[func-returns-value]
    assert isinstance(sent[-1], Finished)
    assert isinstance(sent[-1].error, MachineError)


@pytest.mark.parametrize("name", ["corpus_digest", "tokenizer_digest"])
def test_a_text_that_is_not_the_study_s_is_refused(name: str, task: Train) -> None:
    """It lies under the same name on another machine, or was changed since the study began."""
    sent: list[Message] = []
    perform(Prepare(config=task.config, folders=task.folders), lambda m: not sent.append(m))  # type: ignore[func-returns-value]
    prepared = sent[0]
    assert isinstance(prepared, Prepared)
    assert finish(replace(task, text=prepared)).outcome is Outcome.COMPLETE

    finished = finish(replace(task, text=replace(prepared, **{name: "another"})))
    assert finished.outcome is Outcome.FAILED
    assert isinstance(finished.error, DataError)
    assert f"{name} must be another" in finished.reason


def test_a_stop_is_an_interruption(task: Train) -> None:
    sent: list[Message] = []
    perform(task, lambda message: sent.append(message) or False)  # type: ignore[func-returns-value]
    assert isinstance(sent[-1], Finished)
    assert sent[-1].outcome is Outcome.INTERRUPTED


def test_a_reproduction_says_whether_its_pieces_are_the_notebooks(
    task: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the notebook's text alone, and with its number of pieces; here both are small."""
    reproduction = TokenizerConfig(kind="original-unigram", vocab_size=12)
    config = replace(task.config, tokenizer=reproduction)

    def facts(config: RunConfig) -> dict[str, Any]:
        return facts_of(set_up(config, cache=task.folders.cache))

    assert "notebook" not in facts(config)
    digest = facts(config)["corpus_digest"]
    monkeypatch.setitem(SOURCES, "don_quixote", replace(SOURCES["don_quixote"], sha256=digest))
    assert "notebook" not in facts(config)
    monkeypatch.setattr("bench.run.notebook.VOCAB_SIZE", 12)
    assert "found different pieces: 'hello fellas' is " in facts(config)["notebook"]
    assert facts(config)["flags"] == "lossy, saw validation, not the notebook's pieces"
    assert "notebook" not in facts(task.config)
    monkeypatch.setattr("bench.run.notebook.difference_from_notebook", lambda *_: "")
    assert facts(config)["notebook"] == "its pieces"
    assert facts(config)["flags"] == "lossy, saw validation"
