"""Which studies are there, and what does each ask? By name, or by the path of a file of one's own.

Listing reads the files without running them: the question is the docstring.
"""

import ast
import difflib
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import studies
from bench.spec import Study, blame
from gpt.errors import ConfigError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
"""What a study may be called: it names files, a ledger and an MLflow experiment."""


@dataclass(frozen=True, kw_only=True)
class StudyFile:
    """A file that holds a study."""

    name: str
    path: Path

    @property
    def question(self) -> str:
        """First paragraph of its docstring."""
        return self.description.partition("\n\n")[0].replace("\n", " ")

    @property
    def description(self) -> str:
        """Its whole docstring."""
        return ast.get_docstring(self._parse()) or ""

    def load(self) -> Study:
        """Run the file and return its `study`.

        The file is compiled each time: Python's bytecode cache would mistake a file that changed
        within a second, and kept its length, for the old one.

        Raises:
            ConfigError: with file and line, if it raises or has no `study`.
        """
        code = compile(self._parse(), self.path, "exec")
        module = ModuleType(f"study_{self.name}")
        module.__file__ = str(self.path)
        sys.modules[module.__name__] = module
        beside = str(self.path.resolve().parent)
        sys.path.insert(0, beside)  # as for a script, so that it can import what lies there
        try:
            exec(code, module.__dict__)
        except (Exception, SystemExit) as error:
            raise blame(error, str(self.path)) from error
        finally:
            sys.path.remove(beside)
            if beside not in sys.path:
                sys.path.append(beside)  # for what `cell` itself imports
        study = getattr(module, "study", None)
        if not isinstance(study, Study):
            raise ConfigError(
                f"{self.path} must define `study = Study(...)` but has {type(study).__name__}"
            )
        return study

    def _parse(self) -> ast.Module:
        try:
            return ast.parse(self.path.read_bytes(), self.path)
        except SyntaxError as error:
            raise ConfigError(f"{self.path}:{error.lineno}: SyntaxError: {error.msg}") from None
        except (OSError, ValueError) as error:  # a NUL byte raises ValueError
            raise ConfigError(
                f"a study's file must be readable but {self.path} is not: {error}"
            ) from None


def all_studies() -> list[StudyFile]:
    """The studies that come with the suite, by name."""
    folder = Path(studies.__path__[0])
    paths = sorted(folder.glob("*.py"))
    return [StudyFile(name=p.stem, path=p) for p in paths if not p.stem.startswith("_")]


def find_study(name: str) -> StudyFile:
    """A study by name, or by the path of its file.

    Raises:
        ConfigError: there is none; the message names the nearest.
    """
    known = {study.name: study for study in all_studies()}
    if name in known:
        return known[name]
    path = Path(name)
    if path.suffix == ".py":
        try:
            found = path.is_file()
        except OSError:  # a name that the file system refuses, such as one that is too long
            found = False
        if not found:
            raise ConfigError(f"a study's file must exist but got {_cut(name)}")
        if not NAME.fullmatch(path.stem):
            raise ConfigError(
                "a study's file name must be at most 64 letters, digits, '.', '_' or '-' "
                f"but got {path.stem!r}"
            )
        return StudyFile(name=path.stem, path=path.absolute())
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]}? " if nearest else ""
    raise ConfigError(f"no study is called {_cut(name)!r}; {hint}--list shows all of them")


def _cut(name: str) -> str:
    return name if len(name) <= 80 else f"{name[:77]}..."
