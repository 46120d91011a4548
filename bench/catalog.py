"""Which studies are there, and what does each ask? By name, or by the path of a file of one's own.

Listing reads the files without running them: the question is the docstring.
"""

import ast
import difflib
import re
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import studies
from bench.spec import Study
from gpt.errors import ConfigError, GptBenchError

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

        It is compiled anew each time: Python's own cache of bytecode takes a file that was changed
        within a second, and kept its length, for the old one.

        Raises:
            ConfigError: with file and line, if it raises or has no `study`.
        """
        code = compile(self._parse(), self.path, "exec")
        module = ModuleType(f"study_{self.name}")
        module.__file__ = str(self.path)
        sys.modules[module.__name__] = module
        try:
            exec(code, module.__dict__)
        except Exception as error:
            raise self.blame(error) from error
        study = getattr(module, "study", None)
        if not isinstance(study, Study):
            raise ConfigError(
                f"{self.path} must define `study = Study(...)` but has {type(study).__name__}"
            )
        return study

    def blame(self, error: Exception) -> GptBenchError:
        """The error as a user of the file needs it: which line of it raised what."""
        frames = traceback.extract_tb(error.__traceback__)
        lines = [f.lineno for f in frames if Path(f.filename).resolve() == self.path.resolve()]
        if isinstance(error, GptBenchError) and not lines:
            return error
        line = lines[-1] if lines else 1
        return ConfigError(f"{self.path}:{line}: {type(error).__name__}: {error}")

    def _parse(self) -> ast.Module:
        try:
            return ast.parse(self.path.read_bytes(), self.path)
        except SyntaxError as error:
            raise ConfigError(f"{self.path}:{error.lineno}: SyntaxError: {error.msg}") from None
        except OSError as error:
            raise ConfigError(f"a study's file must be readable but {error}") from None


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
        if not path.is_file():
            raise ConfigError(f"a study's file must exist but got {name}")
        if not NAME.fullmatch(path.stem):
            raise ConfigError(
                "a study's file name must be at most 64 letters, digits, '.', '_' or '-' "
                f"but got {path.stem!r}"
            )
        return StudyFile(name=path.stem, path=path.absolute())
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]}? " if nearest else ""
    raise ConfigError(f"no study is called {name!r}; {hint}--list shows all of them")
