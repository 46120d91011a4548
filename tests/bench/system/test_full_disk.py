"""A full disk is named as such, whatever came of it on the way."""

import errno
import os

import pytest
from safetensors import SafetensorError

from bench.ledger.outcome import Outcome
from bench.run.messages import Finished, Prepare
from bench.run.worker import messages_of
from bench.system.full_disk import full_disk
from gpt.errors import MachineError

FULL = "[Errno 28] No space left on device"


def no_space() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def hidden() -> None:
    """As a second try fails for what the first has left."""
    try:
        raise no_space()
    except OSError:
        raise FileExistsError(errno.EEXIST, "File exists", "folder")  # noqa: B904


def named_otherwise() -> None:
    raise MachineError("the cache must be writable") from no_space()


def by_a_library() -> None:
    raise SafetensorError("Error while serializing: I/O error: No space left on device")


def said_by(raise_it: object) -> str:
    assert callable(raise_it)
    with pytest.raises((OSError, MachineError, SafetensorError)) as caught:
        raise_it()
    return full_disk(caught.value)


def test_the_cause_is_found_behind_what_came_of_it() -> None:
    assert said_by(hidden) == said_by(named_otherwise) == FULL
    assert said_by(by_a_library) == "Error while serializing: I/O error: No space left on device"


def test_other_faults_are_no_full_disk() -> None:
    for error in (FileExistsError(errno.EEXIST, "File exists"), ValueError("x"), None):
        assert full_disk(error) == ""


@pytest.mark.parametrize("raise_it", [hidden, named_otherwise, by_a_library])
def test_a_run_that_meets_one_is_interrupted_not_failed(
    prepare: Prepare, monkeypatch: pytest.MonkeyPatch, raise_it: object
) -> None:
    """So it is no attempt of the run's own, and its reason is a line of words."""
    monkeypatch.setattr("bench.run.worker.load_text", lambda *_, **__: raise_it())  # type: ignore[operator]
    [finished] = messages_of(prepare)
    assert isinstance(finished, Finished)
    assert finished.outcome is Outcome.INTERRUPTED
    assert isinstance(finished.error, MachineError)
    assert "Traceback" not in finished.reason
