"""What a worker does: it computes, and hands everything it learns to the parent.

A worker is given a task and sends messages back. It writes nothing but the files of its run's own
folder and the shared cache; the ledger and the tracker are the parent's alone, so no two processes
ever write to either.
"""

import math
import statistics
import traceback
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_model

from bench.ledger.outcome import Outcome
from bench.run.out_of_memory import free_memory_of, is_out_of_memory
from bench.run.plausible import refuse_impossible_speed
from bench.system import identity
from bench.system.full_disk import full_disk, full_disk_error
from gpt.config import RunConfig
from gpt.corpora.download import SOURCES
from gpt.device import device_name, product_dtype
from gpt.errors import (
    DataError,
    DivergedError,
    GptBenchError,
    InfeasibleError,
    MachineError,
    UnsoundError,
)
from gpt.model.generate import generate
from gpt.tokenizers.original import (
    VOCAB_SIZE,
    OriginalUnigramTokenizer,
    difference_from_notebook,
)
from gpt.training.canary import check_canary
from gpt.training.clock import TRAINING
from gpt.training.evaluate import Split, evaluate_split
from gpt.training.flops import flops_per_step
from gpt.training.loop import Point, has_reached, planned_steps, train
from gpt.training.setup import Setup, Text, load_text, set_up


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a worker finds text and keeps what it made."""

    cache: Path
    corpora_dir: Path | None


@dataclass(frozen=True, kw_only=True)
class Prepare:
    """Make the text of a config ready: tokenizer trained, splits encoded and checked."""

    config: RunConfig
    place: Place


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A text is ready to train on: what it is, by SHA-256 of its raw bytes and by tokenizer."""

    corpus_digest: str
    tokenizer_digest: str


@dataclass(frozen=True, kw_only=True)
class Train:
    """Train one run and leave its files in `folder`."""

    config: RunConfig
    place: Place
    folder: Path

    text: Prepared | None = None
    """What its text must be, wherever the run finds it; None: whatever it is."""


Task = Prepare | Train


@dataclass(frozen=True, kw_only=True)
class Started:
    """A run begins; what of its config was settled by text and machine."""

    config: RunConfig
    facts: dict[str, Any]
    """Tags of the run: digests, device, model size."""

    n_steps: int | None
    """Planned steps; None where the budget is time."""


@dataclass(frozen=True, kw_only=True)
class Finished:
    """The last message of a task: what became of it."""

    outcome: Outcome
    reason: str = ""
    summary: dict[str, float] | None = None
    """Final numbers, for a run that has any."""

    error: GptBenchError | None = None
    """Set when the fault is not this task's alone: the data or the machine is wrong."""


Message = Prepared | Started | Point | Finished
Messages = Generator[Message, bool, Finished]
"""What a task says, a message at a time; each is answered with whether to go on."""


def perform(task: Task, send: Callable[[Message], bool]) -> None:
    """Do a task, handing each message to `send`, which says whether to go on."""
    messages = messages_of(task)
    try:
        message = next(messages)
        while True:
            message = messages.send(send(message))
    except StopIteration:
        return


def messages_of(task: Task) -> Generator[Message, bool, None]:
    """Do a task as its messages are asked for; the last is a `Finished`, whatever happens."""
    try:
        finished = yield from _prepare(task) if isinstance(task, Prepare) else _train(task)
    except InfeasibleError as error:
        finished = Finished(outcome=Outcome.INFEASIBLE, reason=str(error))
    except UnsoundError as error:
        finished = Finished(outcome=Outcome.UNSOUND, reason=str(error))
    except DivergedError as error:
        finished = Finished(outcome=Outcome.DIVERGED, reason=str(error))
    except GptBenchError as error:
        outcome = Outcome.INTERRUPTED if full_disk(error) else Outcome.FAILED
        finished = Finished(outcome=outcome, reason=str(error), error=error)
    except Exception as error:
        if is_out_of_memory(error):
            finished = _short_of_memory(error)
        elif said := full_disk(error):
            refusal = full_disk_error(said)
            finished = Finished(outcome=Outcome.INTERRUPTED, reason=str(refusal), error=refusal)
        else:
            finished = Finished(outcome=Outcome.FAILED, reason=traceback.format_exc())
    yield finished


def _short_of_memory(error: Exception) -> Finished:
    free_memory_of(error)
    reason = str(error).partition("\n")[0] or "there was no memory left"
    refusal = MachineError(f"the text must fit into memory but {reason}; free some")
    return Finished(outcome=Outcome.OUT_OF_MEMORY, reason=reason, error=refusal)


def _prepare(task: Prepare) -> Messages:
    yield _prepared(
        load_text(task.config, corpora_dir=task.place.corpora_dir, cache=task.place.cache)
    )
    return Finished(outcome=Outcome.COMPLETE)


def _prepared(text: Text) -> Prepared:
    return Prepared(corpus_digest=text.corpus.digest, tokenizer_digest=text.tokenizer.digest)


def _train(task: Train) -> Messages:
    setup = set_up(task.config, corpora_dir=task.place.corpora_dir, cache=task.place.cache)
    if task.text is not None:
        _refuse_another(_prepared(setup.text), task.text)
    check_canary(setup)
    task.folder.mkdir(parents=True, exist_ok=True)
    setup.text.tokenizer.save(task.folder / "tokenizer")
    (task.folder / "config.json").write_text(setup.config.to_json(), encoding="utf-8")
    if not (yield Started(config=setup.config, facts=_facts(setup), n_steps=planned_steps(setup))):
        return Finished(outcome=Outcome.INTERRUPTED, reason="stopped before its first step")
    points: list[Point] = []
    for point in train(setup):
        points.append(point)
        if point.evaluation is not None:  # the last one's weights stay: those of the final numbers
            _save_weights(setup, task.folder / "model.safetensors")
        if not (yield point):
            return Finished(outcome=Outcome.INTERRUPTED, reason=f"stopped at step {point.step}")
    (task.folder / "sample.txt").write_text(sample_text(setup), encoding="utf-8")
    summary = summarize(setup, points)
    refuse_impossible_speed(setup, summary["tokens_per_second"])
    if setup.config.train.measure_test:
        summary["test_bits_per_byte"] = evaluate_split(setup, "test").bits_per_byte
    return Finished(outcome=Outcome.COMPLETE, summary=summary | _of_saved_weights(setup))


def _of_saved_weights(setup: Setup) -> dict[str, float]:
    """Bits per byte in float32, where the run computes in another precision.

    The weights in the run's file are float32: whoever evaluates them finds these numbers.
    """
    train = setup.config.train
    if train.dtype == "float32":
        return {}
    exact = setup.in_float32()
    splits: tuple[Split, ...] = ("val", "test") if train.measure_test else ("val",)
    return {
        f"{split}_bits_per_byte_float32": evaluate_split(exact, split).bits_per_byte
        for split in splits
    }


def _refuse_another(found: Prepared, wanted: Prepared) -> None:
    """Raise `DataError` where a machine, or a later moment, has another text than the study."""
    for what in ("corpus_digest", "tokenizer_digest"):
        has, needs = getattr(found, what), getattr(wanted, what)
        if has != needs:
            raise DataError(f"{what} must be {needs[:12]}, as the study's, but here is {has[:12]}")


def _save_weights(setup: Setup, path: Path) -> None:
    """Write the model to a temporary name and rename it, so that a whole file is always there."""
    partial = path.with_suffix(".partial")
    save_model(setup.model, str(partial), metadata={"run": setup.config.key})
    partial.replace(path)


def sample_text(setup: Setup) -> str:
    """Text that the trained model writes after a line's end.

    It remembers at least half a block: for a whole one each token would cost a pass over all.
    """
    tokenizer, block_size = setup.text.tokenizer, setup.model.block_size
    prompt = [int(token) for token in tokenizer.encode("\n")] or [0]
    tokens = generate(
        setup.model,
        prompt,
        setup.config.train.sample_tokens,
        seed=setup.config.train.seed,
        keep=max(1, block_size // 2),
        cuda_graph=setup.config.train.cuda_graph == "on",
    )
    return tokenizer.decode(tokens)


def _flags(config: RunConfig, text: Text) -> str:
    """Why the numbers of a run on this text need care, for all who show them; "" if they don't."""
    flags = {
        "lossy": not config.tokenizer.lossless,
        "saw validation": config.tokenizer.sees_validation,
        "degenerate text": text.encoded.degenerate,
        "not the notebook's pieces": bool(_against_notebook(text)),
    }
    return ", ".join(flag for flag, raised in flags.items() if raised)


def _against_notebook(text: Text) -> str | None:
    """How a reproduction's pieces differ from the notebook's; None: this is no reproduction."""
    tokenizer, tokens = text.tokenizer, text.encoded.train
    is_its_text = text.corpus.digest == SOURCES["don_quixote"].sha256
    if not isinstance(tokenizer, OriginalUnigramTokenizer) or not is_its_text:
        return None
    if tokenizer.vocab_size != VOCAB_SIZE:
        return None
    n_tokens = len(tokens) + len(text.encoded.val)
    return difference_from_notebook(tokenizer, tokens[:20].tolist(), n_tokens)


def _facts(setup: Setup) -> dict[str, Any]:
    text = setup.text
    against_notebook = _against_notebook(text)
    return {
        "corpus": text.corpus.name,
        "corpus_digest": text.corpus.digest,
        "tokenizer_digest": text.tokenizer.digest,
        "vocab_size": text.tokenizer.vocab_size,
        "device_name": device_name(setup.device),
        "kernel": setup.config.model.kernel,
        "threads": torch.get_num_threads(),
        "environment": identity.environment_digest(),
        "product_dtype": str(product_dtype(setup.device)).removeprefix("torch."),
        "canary": "passed",
        "flags": _flags(setup.config, text),
        **({} if against_notebook is None else {"notebook": against_notebook or "its pieces"}),
        "n_params": setup.model.n_params,
        "bytes_per_token": text.encoded.bytes_per_token,
        "context_bytes": setup.config.model.block_size * text.encoded.bytes_per_token,
    }


def summarize(setup: Setup, points: list[Point]) -> dict[str, float]:
    """The final numbers of a complete run.

    The speed is the median over the stretches after warm-up. The loss is that of the last
    evaluation: the best one would be picked on the text that it is measured on. A run that never
    reached its target loss needs infinite seconds to get there.
    """
    last = points[-1]
    evaluation = last.evaluation
    if evaluation is None:
        raise AssertionError("the last point of a complete run carries an evaluation")
    timed = points[1:] or points
    train_seconds = sum(last.seconds[name] for name in TRAINING)
    target = setup.config.train.target_loss
    to_target = train_seconds if has_reached(target, evaluation) else math.inf
    return {
        "val_bits_per_byte": evaluation.bits_per_byte,
        "val_loss": evaluation.loss,
        "train_loss": last.train_loss,
        "tokens_per_second": statistics.median(p.tokens_per_second for p in timed),
        "step_milliseconds": statistics.median(p.step_milliseconds for p in timed),
        "n_params": setup.model.n_params,
        "n_steps": last.step,
        "n_tokens": last.n_tokens,
        "n_bytes": last.n_bytes,
        "n_flops": last.step * flops_per_step(setup.model, setup.config),
        "context_bytes": setup.config.model.block_size * setup.text.encoded.bytes_per_token,
        "peak_memory_bytes": last.peak_memory_bytes,
        **{f"{bucket}_seconds": seconds for bucket, seconds in last.seconds.items()},
        "train_seconds": train_seconds,
        **({"seconds_to_target": to_target} if target is not None else {}),
    }
