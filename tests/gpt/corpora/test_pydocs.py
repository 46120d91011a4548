import sys
import sysconfig
from pathlib import Path

import pytest

from gpt.config import CorpusConfig
from gpt.corpora import Span, load_corpus
from gpt.corpora import pydocs as module
from gpt.corpora.pydocs import pydocs
from gpt.errors import DataError

LIBRARY = {
    "one.py": '"""Module one."""\ndef f():\n    """Said twice."""\nclass C:\n    "Class."\n',
    "package/2.py": '"Said twice."\nasync def g():\n    "Escape: \\d."\n    def h(): "Inner."\n',
    "package/test/three.py": '"""Of a test."""',
    "idlelib/four.py": '"""Of a tool."""',
    "five.py": "x = 'not a docstring'",
}


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A standard library of five modules, in a Python without a language reference."""
    for name, source in LIBRARY.items():
        (tmp_path / "library" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "library" / name).write_text(source)
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path / "library"))
    monkeypatch.setattr(module, "topics", {"assert": "  The assert statement.\n"})
    return tmp_path / "library"


@pytest.mark.slow
def test_about_two_megabytes_of_prose_that_are_made_once(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = set(sys.modules)
    corpus = load_corpus(CorpusConfig(name="pydocs"), cache=cache)
    assert 1_500_000 < corpus.n_bytes < 2_500_000
    assert corpus.name == f"pydocs-{sys.version_info.major}.{sys.version_info.minor}"
    text = corpus.read(Span(0, corpus.n_bytes))
    assert text.count('The "assert" statement\n*****') == 1
    assert not {"turtle", "antigravity"} & (set(sys.modules) - before)  # read, not imported

    monkeypatch.delattr(module, "_distinct")
    assert pydocs(cache) == corpus.path


def test_every_docstring_once_tests_and_tools_left_out(
    library: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LEAST_BYTES", 0)
    text = pydocs(cache).read_text("utf-8")
    expected = ["The assert statement.", "Module one.", "Said twice.", "Class.", "Escape: \\d."]
    assert sorted(text.strip().split("\n\n")) == sorted([*expected, "Inner."])

    found = sorted(library.rglob("*.py"), reverse=True)
    monkeypatch.setattr(Path, "rglob", lambda *_: found)
    assert pydocs(cache / "other").read_text("utf-8") == text  # whatever order the disk has


@pytest.mark.usefixtures("library")
def test_a_python_without_its_source_is_refused(cache: Path) -> None:
    with pytest.raises(DataError, match="source of the standard library"):
        pydocs(cache)
    assert list((cache / "corpora").iterdir()) == []


@pytest.mark.usefixtures("library")
def test_a_damaged_text_is_made_again(
    cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "LEAST_BYTES", 0)
    path = pydocs(cache)
    text = path.read_bytes()
    path.write_bytes(text.replace(b"Said", b"Sung"))
    assert pydocs(cache) == path
    assert path.read_bytes() == text
    assert "is damaged (other content in text.txt): it is made again" in caplog.text
