"""The Optuna study under a ledger: locked, read completely or refused, and never overwritten.

A damaged file is left for a person to look at; `bench.ledger.journal_file` says what is checked.
"""

import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import optuna
from filelock import FileLock, Timeout
from optuna.storages import JournalStorage

from bench.ledger.entries import refuse_unreadable
from bench.ledger.journal_file import JournalFile
from bench.spec import Study
from gpt.errors import ConfigError, MachineError


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Lock a journal against other launches, and make its folder.

    Raises:
        MachineError: another launch holds it, or the folder can't be made.
    """
    lock = FileLock(path.with_suffix(".lock"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise MachineError(
            f"one launch at a time may work on {path} but another one does; "
            "wait for it, or start from another folder"
        ) from None
    except OSError as error:
        raise MachineError(
            f"the ledger {path} must be writable but got: {error}; start from another folder"
        ) from error
    try:
        yield
    finally:
        lock.release()


def open_journal(path: Path, *, frozen: bool = False, otherwise: str = "") -> JournalStorage:
    """The storage in a journal file, if it is whole and every run in it can be read.

    Reading does not change the file; a caller that writes must hold the lock. With `frozen`, every
    write raises `FrozenError`.

    Args:
        otherwise: what may be done with a damaged one, beside bringing back a copy.

    Raises:
        MachineError: the file is damaged, is no ledger or can't be read.
    """
    try:
        file = JournalFile(path, frozen=frozen)
        storage = JournalStorage(file)
        if file.read_logs(0):
            refuse_unreadable(optuna.load_study(study_name="ledger", storage=storage))
    except Exception as error:  # replaying damaged lines may raise anything
        kind = "" if type(error) is ValueError else f"{type(error).__name__}: "
        first_line = str(error).partition("\n")[0]
        raise MachineError(
            f"a ledger must be whole but {path} is not: {kind}{first_line}\n"
            f"restore it from a copy{otherwise}; the runs in MLflow stay"
        ) from error
    return storage


def open_study(path: Path, spec: Study, *, frozen: bool = False) -> optuna.Study:
    """The study in a journal file; both are made if missing. Raises as `open_journal` does."""
    anew = ", or give --fresh to set it aside and begin a new one"
    storage = open_journal(path, frozen=frozen, otherwise=anew)
    if not storage.get_all_studies():
        optuna.create_study(study_name="ledger", storage=storage, direction=spec.direction)
    n_trials = storage.get_n_trials(storage.get_study_id_from_name("ledger"))
    search = spec.search
    study = optuna.load_study(
        study_name="ledger",
        storage=storage,
        sampler=search.sampler(n_trials) if search else optuna.samplers.RandomSampler(),
        pruner=search.pruner() if search else optuna.pruners.NopPruner(),
    )
    if "id" not in study.user_attrs:
        study.set_user_attr("id", uuid.uuid4().hex[:8])
    return study


def set_aside(path: Path) -> list[str]:
    """Rename a journal, so that a new one can begin under its name.

    Returns:
        The id of its ledger and of those that it replaced; none if it is damaged.
    """
    ids = []
    with suppress(MachineError, KeyError):
        attributes = optuna.load_study(study_name="ledger", storage=open_journal(path)).user_attrs
        ids = [attributes["id"], *attributes.get("replaced", [])]
    stamp = time.strftime("%Y%m%d-%H%M%S")
    names = [stamp, *(f"{stamp}-{i}" for i in range(2, 100))]
    free = (new for name in names if not (new := path.with_suffix(f".{name}.journal")).exists())
    path.rename(next(free))
    return ids


def refuse_change(study: optuna.Study, identity: Mapping[str, str]) -> None:
    """Raise `ConfigError` if something that all runs must share has changed; store new parts.

    Args:
        identity: by name -> its digest.
    """
    before = study.user_attrs.get("identity", {})
    changed = [what for what in identity if before.get(what, identity[what]) != identity[what]]
    if changed:
        names = " and ".join(f"the {what}" for what in changed)
        details = ", ".join(f"{before[what]} then, {identity[what]} now" for what in changed)
        raise ConfigError(
            f"all runs of a ledger must share their code and texts but {names} changed since it "
            f"was begun ({details}); --fresh begins a new one, and what was recorded stays"
        )
    if identity.keys() - before.keys():
        study.set_user_attr("identity", {**before, **identity})
