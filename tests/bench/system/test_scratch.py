"""Scratch folders: gone at their end, and if a kill has kept them from it, by the next start."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from bench.system.scratch import MARK, scratch_folder

HOLD = """
import sys, tempfile
from bench.system.scratch import scratch_folder
tempfile.tempdir = sys.argv[1]
with scratch_folder() as folder:
    (folder / "model").mkdir()
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_folder_is_there_and_then_it_is_not(temporary: Path) -> None:
    with scratch_folder() as folder:
        assert folder.parent == temporary
        assert [path.name for path in folder.iterdir()] == [MARK]
        with scratch_folder() as other:
            assert other != folder
        assert folder.is_dir()
    assert list(temporary.iterdir()) == []


def test_the_folders_of_the_killed_are_removed_and_no_others(temporary: Path) -> None:
    kept = [temporary / name for name in ("gpt-bench-results", "other")]
    for folder in kept:
        folder.mkdir()
    (temporary / "other" / MARK).touch()
    command = [sys.executable, "-c", HOLD, str(temporary)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        theirs = Path(process.stdout.readline().strip())
        with scratch_folder():
            assert theirs.is_dir()  # its process lives
        process.kill()
        process.wait()
        assert theirs.is_dir()
        with scratch_folder() as ours:
            assert sorted(temporary.iterdir()) == sorted([*kept, ours])
