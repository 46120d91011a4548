"""The file under a ledger: read whole or refused, repaired at its end, and never overwritten.

A killed process may leave half a line at the end, which is cut off: nothing that was written whole
is lost by it. Any other damage is for a person to look at.
"""

import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import optuna
from filelock import FileLock, Timeout
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from bench.spec import Study
from gpt.errors import ConfigError, MachineError

_LINE_START = b'{"op_code"'


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other launches from a journal, and make its folder.

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


def open_journal(path: Path) -> JournalStorage:
    """The storage in a journal file, which is made if it is not there.

    The caller holds the launch's lock, so a lock that the journal itself has left is stale.

    Raises:
        MachineError: the file is damaged, or is no journal.
    """
    path.with_name(f"{path.name}.lock").unlink(missing_ok=True)
    try:
        _cut_torn_line(path)
        lock = JournalFileOpenLock(str(path.absolute()))
        storage = JournalStorage(JournalFileBackend(str(path.absolute()), lock))
        for name in optuna.get_all_study_names(storage):
            optuna.load_study(study_name=name, storage=storage)
    except Exception as error:  # whatever reading damaged lines comes to
        raise MachineError(
            f"the ledger {path} must be a whole journal but reading it gave "
            f"{type(error).__name__}: {error}\n"
            "look at its lines, or let --fresh set it aside and begin anew"
        ) from error
    return storage


def open_study(path: Path, spec: Study) -> optuna.Study:
    """The study in a journal file, both made if they are not there; raises as `open_journal`."""
    storage = open_journal(path)
    known = storage.get_all_studies()
    n_trials = storage.get_n_trials(known[0]._study_id) if known else 0
    search = spec.search
    study = optuna.create_study(
        study_name="ledger",
        storage=storage,
        direction=spec.direction,
        sampler=search.sampler(n_trials) if search else optuna.samplers.RandomSampler(),
        pruner=search.pruner() if search else optuna.pruners.NopPruner(),
        load_if_exists=True,
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
    """Raise `ConfigError` if a journal's runs are of another grid, corpus or code, by name."""
    before = study.user_attrs.get("identity")
    if before is None:
        study.set_user_attr("identity", dict(identity))
        return
    changed = [name for name in identity if before.get(name) != identity[name]]
    if changed:
        details = ", ".join(f"{n} was {before.get(n)} and is {identity[n]}" for n in changed)
        raise ConfigError(
            f"a study goes on only over the same grid, corpus and code but {details}; "
            "--fresh begins a new one (the recorded runs stay)"
        )


def _cut_torn_line(path: Path) -> None:
    if not path.exists():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    torn = content[whole:]
    if not torn.startswith(_LINE_START[: len(torn)]):
        raise ValueError("its last line is no line of a journal")
    with path.open("r+b") as file:
        file.truncate(whole)
