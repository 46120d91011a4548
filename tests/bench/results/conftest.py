"""Where the study that was really run lies: as the current folder, elsewhere, and moved."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from workplace import Finished


@pytest.fixture
def home(swept: Finished) -> Path:
    """The folder of the study, which is not the current one."""
    return swept.place.folder


@pytest.fixture
def here(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same as the current folder."""
    monkeypatch.chdir(home)
    return home


@pytest.fixture
def moved(home: Path, tmp_path: Path) -> Path:
    """A copy of it, whose database names a folder that is gone."""
    there = tmp_path / "moved"
    shutil.copytree(home, there, ignore=shutil.ignore_patterns("cache", "tmp"))
    with closing(sqlite3.connect(there / "mlflow.db")) as database:
        database.execute("UPDATE runs SET artifact_uri = replace(artifact_uri, 'swept', 'gone')")
        database.commit()
    return there
