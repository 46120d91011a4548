import errno
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from gpt import cache as module
from gpt.cache import atomic, default_cache, entry, key_of
from gpt.errors import MachineError


def test_the_environment_names_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GPT_BENCH_CACHE", str(tmp_path))
    assert default_cache() == tmp_path
    monkeypatch.setenv("GPT_BENCH_CACHE", "")
    assert default_cache().name == "gpt-bench"


def test_a_key_depends_on_every_part() -> None:
    keys = {key_of("a", 1), key_of("a", 2), key_of("b", 1), key_of("a1"), key_of({"a": 1})}
    assert len(keys) == 5
    assert key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1})


def test_an_interrupted_write_leaves_the_last_good_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with atomic(path) as partial:
        partial.write_bytes(b"good")
    with suppress(KeyboardInterrupt), atomic(path) as partial:
        partial.write_bytes(b"half")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"good"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_not_there_before_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with atomic(path) as partial:
        partial.write_bytes(b"half")
        assert not path.exists()
    assert path.read_bytes() == b"half"


def test_an_interrupted_entry_leaves_nothing(tmp_path: Path) -> None:
    def interrupted(folder: Path) -> None:
        (folder / "file").write_bytes(b"half")
        raise KeyboardInterrupt

    with suppress(KeyboardInterrupt):
        entry(tmp_path / "folder", interrupted)
    assert list(tmp_path.iterdir()) == []


def test_of_two_that_make_one_entry_the_first_stays(tmp_path: Path) -> None:
    folder = tmp_path / "folder"

    def slow(partial: Path) -> None:
        (partial / "file").write_bytes(b"slow")
        entry(folder, lambda other: (other / "file").write_bytes(b"fast"))

    entry(folder, slow)
    assert (folder / "file").read_bytes() == b"fast"
    assert list(tmp_path.iterdir()) == [folder]
    entry(folder, never)


def test_a_file_system_that_refuses_is_the_machine_s_fault(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_bytes(b"")
    for folder in (in_the_way, in_the_way / "x"):
        with pytest.raises(MachineError, match="GPT_BENCH_CACHE"):
            entry(folder, make_two)


def make_two(folder: Path) -> None:
    (folder / "a").write_bytes(b"one")
    (folder / "b").write_bytes(b"two")


def never(_: Path) -> None:
    raise AssertionError("it is there")


def full(folder: Path) -> None:
    (folder / "a").write_bytes(b"on")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_an_entry_is_made_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = entry(tmp_path / "new" / "entry", make_two)
    assert (folder / "a").read_bytes() + (folder / "b").read_bytes() == b"onetwo"
    module._sha256.cache_clear()  # as in another process
    assert entry(folder, never) == folder
    assert caplog.text == ""


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "a").write_bytes(b"\0\0\0"),
        lambda folder: (folder / "a").write_bytes(b""),
        lambda folder: (folder / "a").unlink(),
        lambda folder: (folder / "sha256.json").unlink(),
        *(
            lambda folder, content=content: (folder / "sha256.json").write_bytes(content)
            for content in (b"", b"{", b"[]", b"{}", b"5", b"\xff", b'{"a": 5}', b'{"../x": "1"}')
        ),
    ],
)
def test_a_damaged_entry_is_made_again_with_a_word(
    damage: Callable[[Path], object], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = entry(tmp_path / "entry", make_two)
    module._sha256.cache_clear()
    damage(folder)
    whole = (folder / "b").stat().st_ino
    assert entry(folder, make_two) == folder
    (word,) = caplog.messages
    assert word.startswith(f"the cache entry {folder} is damaged (")
    assert (folder / "a").read_bytes() + (folder / "b").read_bytes() == b"onetwo"
    assert list(tmp_path.iterdir()) == [folder]
    assert (folder / "b").stat().st_ino == whole  # in use by another process, it may not change
    entry(folder, never)


def test_a_full_disk_is_named_and_leaves_what_was_there(tmp_path: Path) -> None:
    folder = tmp_path / "entry"
    with pytest.raises(MachineError, match=r"must .* have room but got: .*No space left"):
        entry(folder, full)
    assert list(tmp_path.iterdir()) == []
    entry(folder, make_two)
    (folder / "b").write_bytes(b"x")
    with pytest.raises(MachineError, match="No space left"):
        entry(folder, full)
    assert list(tmp_path.iterdir()) == [folder]
    assert (folder / "a").read_bytes() == b"one"
    assert sorted(path.name for path in folder.iterdir()) == ["a", "b", "sha256.json"]


def test_what_killed_processes_left_is_removed_by_the_next_who_writes_there(
    tmp_path: Path,
) -> None:
    begin = """
import os, sys
from pathlib import Path
from gpt.cache import atomic, entry
def die(folder):
    (folder / "b").write_bytes(b"half")
    os._exit(9)
with atomic(Path(sys.argv[1], "file")) as file:
    file.write_bytes(b"half")
    entry(Path(sys.argv[1], "a"), die)
"""
    assert subprocess.run([sys.executable, "-c", begin, str(tmp_path)]).returncode == 9
    assert len(list(tmp_path.iterdir())) == 2
    with atomic(tmp_path / "mine") as mine:
        mine.write_bytes(b"half")
        entry(tmp_path / "entry", make_two)
        assert set(tmp_path.iterdir()) == {mine, tmp_path / "entry"}  # of a living process
