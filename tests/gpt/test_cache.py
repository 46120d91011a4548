from contextlib import suppress
from pathlib import Path

import pytest

from gpt.cache import atomic_folder, atomic_write, default_cache, key_of
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
    path = tmp_path / "new" / "file"
    with atomic_write(path) as file:
        file.write(b"good")
    with suppress(KeyboardInterrupt), atomic_write(path) as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"good"
    assert list(path.parent.iterdir()) == [path]


def test_a_file_is_not_there_before_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with atomic_write(path) as file:
        file.write(b"half")
        file.flush()
        assert not path.exists()
    assert path.read_bytes() == b"half"


def test_an_interrupted_folder_leaves_nothing(tmp_path: Path) -> None:
    with suppress(KeyboardInterrupt), atomic_folder(tmp_path / "folder") as partial:
        (partial / "file").write_bytes(b"half")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_of_two_that_make_one_folder_the_first_stays(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    with atomic_folder(folder) as slow:
        (slow / "file").write_bytes(b"slow")
        with atomic_folder(folder) as fast:
            (fast / "file").write_bytes(b"fast")
    assert (folder / "file").read_bytes() == b"fast"
    assert list(tmp_path.iterdir()) == [folder]


def test_a_file_system_that_refuses_is_the_machine_s_fault(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_bytes(b"")
    with pytest.raises(MachineError, match="GPT_BENCH_CACHE"), atomic_write(in_the_way / "x"):
        pass
    with pytest.raises(MachineError, match="GPT_BENCH_CACHE"), atomic_folder(in_the_way):
        pass
