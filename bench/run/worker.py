"""What a worker does with a task: it computes, and sends every result to the parent.

A worker writes only the files in its run's own folder and the shared cache. Only the parent writes
to the ledger and the tracker, so no two processes ever write to either.
"""

import traceback
from collections.abc import Callable, Generator

from safetensors.torch import save_model

from bench.ledger.outcome import Outcome
from bench.run.canary import check_canary
from bench.run.cost import TextSize
from bench.run.facts import facts_of, summarize
from bench.run.messages import (
    Finished,
    Measure,
    Message,
    Messages,
    Prepare,
    Prepared,
    Started,
    Task,
    Train,
)
from bench.run.out_of_memory import free_memory_of, is_out_of_memory
from bench.run.passage import PASSAGE_FILE, passage_of
from bench.run.plausible_speed import refuse_impossible_speed
from bench.run.step_timing import time_steps
from bench.system.full_disk import full_disk, full_disk_error
from gpt.cache import atomic
from gpt.errors import (
    DataError,
    DivergedError,
    GptBenchError,
    InfeasibleError,
    MachineError,
    UnsoundError,
)
from gpt.generate import generate
from gpt.training.evaluate import Split, evaluate_split
from gpt.training.loop import Point, planned_steps, train
from gpt.training.setup import Setup, Text, load_text, set_up


def perform(task: Task, send: Callable[[Message], bool]) -> None:
    """Do a task, passing each message to `send`, which returns whether to go on."""
    messages = messages_of(task)
    try:
        message = next(messages)
        while True:
            message = messages.send(send(message))
    except StopIteration:
        return


def messages_of(task: Task) -> Generator[Message, bool, None]:
    """Do a task, yielding its messages; the last is a `Finished`, whatever happens."""
    try:
        finished = yield from _messages_of(task)
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


def _messages_of(task: Task) -> Messages:
    if isinstance(task, Train):
        return (yield from _train(task))
    yield time_steps(task) if isinstance(task, Measure) else _prepare(task)
    return Finished(outcome=Outcome.COMPLETE)


def _short_of_memory(error: Exception) -> Finished:
    free_memory_of(error)
    reason = str(error).partition("\n")[0] or "there was no memory left"
    refusal = MachineError(f"the text must fit into memory but {reason}; free some")
    return Finished(outcome=Outcome.OUT_OF_MEMORY, reason=reason, error=refusal)


def _prepare(task: Prepare) -> Prepared:
    return _prepared(
        load_text(task.config, corpora_dir=task.folders.corpora_dir, cache=task.folders.cache)
    )


def _prepared(text: Text) -> Prepared:
    return Prepared(
        corpus_digest=text.corpus.digest,
        tokenizer_digest=text.tokenizer.digest,
        size=TextSize(
            vocab_size=text.tokenizer.vocab_size,
            bytes_per_token=text.encoded.bytes_per_token,
            val_tokens=len(text.encoded.val),
            test_tokens=0 if text.encoded.test is None else len(text.encoded.test),
        ),
    )


def _train(task: Train) -> Messages:
    setup = set_up(task.config, corpora_dir=task.folders.corpora_dir, cache=task.folders.cache)
    if task.text is not None:
        _refuse_another(_prepared(setup.text), task.text)
    check_canary(setup)
    task.folder.mkdir(parents=True, exist_ok=True)
    setup.text.tokenizer.save(task.folder / "tokenizer")
    (task.folder / "config.json").write_text(setup.config.to_json(), encoding="utf-8")
    if not (
        yield Started(config=setup.config, facts=facts_of(setup), n_steps=planned_steps(setup))
    ):
        return Finished(outcome=Outcome.INTERRUPTED, reason="stopped before its first step")
    points: list[Point] = []
    for point in train(setup):
        points.append(point)
        if (
            point.watched is not None
        ):  # overwritten each time: the last weights give the final numbers
            with atomic(task.folder / "model.safetensors") as partial:
                save_model(setup.model, str(partial), metadata={"run": setup.config.key})
        if not (yield point):
            return Finished(outcome=Outcome.INTERRUPTED, reason=f"stopped at step {point.step}")
    (task.folder / "sample.txt").write_text(sample_text(setup), encoding="utf-8")
    if (passage := passage_of(setup)) is not None:
        (task.folder / PASSAGE_FILE).write_text(passage.to_json(), encoding="utf-8")
    summary = summarize(setup, points)
    refuse_impossible_speed(setup, summary["tokens_per_second"])
    if setup.config.train.measure_test:
        summary["test_bits_per_byte"] = evaluate_split(setup, "test").bits_per_byte
    return Finished(outcome=Outcome.COMPLETE, summary=summary | _of_saved_weights(setup))


def _of_saved_weights(setup: Setup) -> dict[str, float]:
    """Bits per byte in float32, for a run that computes in another precision.

    The saved weights are float32, so evaluating them gives these numbers.
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
    """Raise `DataError` if the text here, or now, differs from the study's."""
    for what in ("corpus_digest", "tokenizer_digest"):
        has, needs = getattr(found, what), getattr(wanted, what)
        if has != needs:
            raise DataError(f"{what} must be {needs[:12]}, as the study's, but here is {has[:12]}")


def sample_text(setup: Setup) -> str:
    """Text that the trained model writes after a newline.

    Each token sees at least half a block; always seeing a whole one would recompute it each time.
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
