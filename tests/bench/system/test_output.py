"""What a command writes takes the place of a file alone, and of a whole one."""

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from bench.system.output import write_output
from gpt.errors import MachineError


def test_a_file_is_replaced_when_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    write_output(path, "old")
    write_output(path, b"new")

    assert path.read_bytes() == b"new"
    with pytest.raises(UnicodeEncodeError):
        write_output(path, "half \udcff")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for name in ("there", "missing"):
        link, file = tmp_path / f"to {name}", tmp_path / "folder" / name
        link.symlink_to(file)
    (tmp_path / "folder" / "there").touch()
    for link in tmp_path.glob("to *"):
        write_output(link, link.name)

        assert link.is_symlink()
        assert link.read_text("utf-8") == link.name


def test_a_pipe_is_written_into(tmp_path: Path) -> None:
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write_output(pipe, "through")
    reader.join()

    assert read == [b"through"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_device_stays_one(tmp_path: Path) -> None:
    """A link is given, so that not even a fault would replace the machine's own."""
    full, null = tmp_path / "full", tmp_path / "null"
    full.symlink_to("/dev/full")
    null.symlink_to(os.devnull)

    write_output(null, "gone")
    with pytest.raises(MachineError, match="full must be writable but got: No space left"):
        write_output(full, "nowhere")

    assert not Path("/dev/full").is_file()
    assert full.is_symlink()


@pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="a device of Unix")
@pytest.mark.parametrize("name", ["-", "/dev/stdout"])
def test_what_stdout_goes_to_is_appended_to(tmp_path: Path, name: str) -> None:
    """As a shell's `>>` means it."""
    log = tmp_path / "log"
    log.write_text("before\n", "utf-8")
    program = (
        "from pathlib import Path; from bench.system.output import write_output\n"
        f"write_output(Path({name!r}), 'after')"
    )
    with log.open("ab") as stdout:
        subprocess.run([sys.executable, "-c", program], stdout=stdout, check=True)

    assert log.read_text("utf-8") == "before\nafter"
