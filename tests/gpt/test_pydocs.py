import sys
import sysconfig
from pathlib import Path

import pytest

from gpt.config import CorpusConfig
from gpt.corpora import Span, load_corpus
from gpt.corpora.pydocs import pydocs
from gpt.errors import DataError


def test_about_two_megabytes_of_prose_the_same_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = set(sys.modules)
    corpus = load_corpus(CorpusConfig(name="pydocs"), cache=tmp_path / "one")
    assert 1_500_000 < corpus.n_bytes < 2_500_000
    assert corpus.name == f"pydocs-{sys.version_info.major}.{sys.version_info.minor}"
    text = corpus.read(Span(0, corpus.n_bytes))
    assert text.count('The "assert" statement\n*****') == 1  # the language reference
    assert text.count("Return a shallow copy of x's MIME tree") == 0
    assert text.count("Simple, but not very advanced") == 0
    assert not {"turtle", "antigravity"} & (set(sys.modules) - before)  # read, not imported

    again = load_corpus(CorpusConfig(name="pydocs"), cache=tmp_path / "two")
    assert again.digest == corpus.digest

    monkeypatch.setattr(Path, "rglob", None)  # made once: the library is not read again
    assert pydocs(tmp_path / "one") == corpus.path


def test_a_python_without_its_source_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path))
    with pytest.raises(DataError, match="source of the standard library"):
        pydocs(tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
