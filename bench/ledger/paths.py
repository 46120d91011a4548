"""Where are the files of a study, and which ledgers belong to it?"""

import difflib
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gpt.errors import ConfigError

STORE = Path("mlruns")
"""The folder for all files of a study; MLflow's database is beside it."""

Part = Literal["study", "finals", "confirmation"]
"""What the runs of a ledger are to their study: its own cells, the race of a search's best, or the
best cell of a grid measured again on the test part."""

_STAMP = re.compile(r"\.\d{8}-\d{6}(-\d+)?$")
"""What is added to the name of a ledger that is set aside."""

_PART = re.compile(r"(?P<study>.+)\.(?:(?P<finals>finals)|test-[0-9a-f]+)")


@dataclass(frozen=True, kw_only=True)
class LedgerFile:
    """One of the ledgers of a study."""

    study: str
    part: Part
    path: Path

    folder: Path
    """Where the study was run: MLflow's database lies here."""


def ledger_path(name: str, folder: Path = Path()) -> Path:
    """The journal of a ledger."""
    return folder / STORE / "ledger" / f"{name}.journal"


def report_path(name: str, folder: Path = Path()) -> Path:
    """The report of the study with that ledger."""
    return folder / STORE / "report" / f"{name}.html"


def ledger_names(folder: Path = Path()) -> list[str]:
    """Names of the ledgers in a folder, including those that were set aside."""
    return sorted(path.stem for path in ledger_path("", folder).parent.glob("*.journal"))


def find_ledger(study: str, folder: Path = Path()) -> Path:
    """The journal of a study, by its name, that of its file, or the path of the journal itself.

    A study that was run in one way alone, with settings of its own, goes by its bare name too.

    Raises:
        ConfigError: no study has that name; the message names those that were run. Or it is no
            text.
    """
    _refuse_no_text(study)
    if study.endswith(".journal"):
        return Path(study)
    name = Path(study).stem if study.endswith(".py") else study
    known = ledger_names(folder)
    if name in known:
        return ledger_path(name, folder)
    whole = [other for other in known if _PART.fullmatch(other) is None]
    settings = [other for other in whole if _bare(other) == name]
    if len(settings) == 1:
        return ledger_path(settings[0], folder)
    names = {_bare(other): other for other in known} | {other: other for other in known}
    nearest = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {names[nearest[0]]}? " if nearest else ""
    there = f"there are: {', '.join(known)}" if known else "none was run in this folder"
    where = "here" if folder == Path() else f"in {folder}"
    raise ConfigError(f"no study called {name!r} was run {where}; {hint}{there}")


def _refuse_no_text(name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:  # what a locale's encoding lacks is typed as lone surrogates
        raise ConfigError(
            f"a study's name must be text in the encoding of the locale but got {name!a}; "
            "set PYTHONUTF8=1"
        ) from None


def _bare(name: str) -> str:
    """A ledger's name without the settings of its own."""
    return re.split("[@+]", name)[0]


def typed_name(path: Path) -> str:
    """What `find_ledger` takes for a ledger of the current folder, as short as it may be."""
    name = _bare(path.stem)
    with suppress(ConfigError):
        if find_ledger(name).absolute() == path.absolute():
            return name
    return path.stem


def is_set_aside(path: Path) -> bool:
    """Whether a ledger was replaced by one that began anew."""
    return _STAMP.search(path.stem) is not None


def ledgers_of(study: str, folder: Path = Path()) -> list[LedgerFile]:
    """The ledger of a study and those of its parts; where a part is named, its own alone.

    Raises:
        ConfigError: as `find_ledger`.
    """
    path = find_ledger(study, folder).absolute()
    if path.parent.parts[-2:] == (STORE.name, "ledger"):
        folder = path.parents[2]
    first = _ledger_file(path, folder)
    others = (_ledger_file(other, folder) for other in sorted(path.parent.glob("*.journal")))
    parts = [o for o in others if o.part != "study" == first.part and o.study == first.study]
    return [first, *parts]


def _ledger_file(path: Path, folder: Path) -> LedgerFile:
    found = _PART.fullmatch(path.stem)
    if found is None or not path.with_name(f"{found['study']}.journal").exists():
        return LedgerFile(study=path.stem, part="study", path=path, folder=folder)
    part: Part = "finals" if found["finals"] else "confirmation"
    return LedgerFile(study=found["study"], part=part, path=path, folder=folder)
