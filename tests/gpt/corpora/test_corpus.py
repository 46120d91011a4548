import hashlib
import os
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from gpt.config import CorpusConfig
from gpt.corpora import Corpus, Span, load_corpus
from gpt.errors import ConfigError, DataError

MakeCorpus = Callable[..., Corpus]

NASTY = (
    "\ufeffone\r\ntwo\r\n\0three €uro\n\n\n  😀 e\u0301 \u2581\u2047\u2028 no newline at the end"
)


def load(name: str | Path, cache: Path) -> Corpus:
    return load_corpus(CorpusConfig(name=str(name)), cache=cache)


def test_the_text_is_kept_to_the_byte(make_corpus: MakeCorpus) -> None:
    corpus = make_corpus(NASTY)
    assert corpus.read(Span(0, corpus.n_bytes)) == NASTY
    assert corpus.read(corpus.split("train")) + corpus.read(corpus.split("val")) == NASTY
    assert corpus.n_bytes == len(NASTY.encode())
    assert corpus.digest == hashlib.sha256(NASTY.encode()).hexdigest()


def test_the_split_is_between_characters(make_corpus: MakeCorpus) -> None:
    # 10 × 3 bytes; 85% of 30 is byte 25, inside the ninth character, which starts at 24
    corpus = make_corpus("€" * 10, val_fraction=0.15)
    assert corpus.split("train") == Span(0, 24)
    assert corpus.split("val") == Span(24, 30)
    assert corpus.split("val").n_bytes == 6


def test_a_test_part_lies_at_the_very_end(make_corpus: MakeCorpus) -> None:
    corpus = make_corpus("0123456789", val_fraction=0.2, test_fraction=0.3)
    parts = {split: corpus.read(span) for split, span in corpus.splits.items()}
    assert parts == {"train": "01234", "val": "56", "test": "789"}


@pytest.mark.parametrize("n_bytes", [4, 5, 6, 7, 11, 40, 1000])
def test_chunks_join_to_the_text_and_end_after_newlines(
    make_corpus: MakeCorpus, n_bytes: int
) -> None:
    corpus = make_corpus(NASTY * 3)
    chunks = list(corpus.chunks(Span(0, corpus.n_bytes), n_bytes))
    assert "".join(chunks) == NASTY * 3
    assert all(len(chunk.encode()) <= n_bytes for chunk in chunks)
    assert all(chunk.endswith("\n") or "\n" not in chunk for chunk in chunks[:-1])


def test_an_excerpt_is_of_whole_lines_from_all_over_the_text(make_corpus: MakeCorpus) -> None:
    lines = [f"{number:04} €\n" for number in range(4000)]
    corpus = make_corpus("".join(lines), val_fraction=0.5)
    excerpt = corpus.excerpt(corpus.split("val"), 2000)
    places = [int(line[:4]) for line in excerpt.splitlines()]

    assert 1500 < len(excerpt.encode()) <= 2000
    assert excerpt == "".join(lines[place] for place in places)
    assert places == sorted(set(places))
    assert 2000 <= places[0] < 2010
    assert max(b - a for a, b in pairwise([2000, *places, 4000])) <= 2000 / 16


@pytest.mark.parametrize(("text", "n_bytes"), [("€" * 900, 64), ("€" * 900, 1000), (NASTY, 64)])
def test_an_excerpt_of_a_text_without_lines_is_of_characters(
    make_corpus: MakeCorpus, text: str, n_bytes: int
) -> None:
    corpus = make_corpus(text)
    excerpt = corpus.excerpt(Span(0, corpus.n_bytes), n_bytes)

    assert n_bytes / 3 < len(excerpt.encode()) <= n_bytes
    assert set(excerpt) <= set(text)


def test_an_excerpt_of_a_short_text_is_all_of_it(make_corpus: MakeCorpus) -> None:
    corpus = make_corpus(NASTY)
    whole = Span(0, corpus.n_bytes)

    assert corpus.excerpt(whole, corpus.n_bytes) == NASTY
    assert corpus.excerpt(whole, corpus.n_bytes - 1) != NASTY


def test_a_chunk_must_hold_a_character(make_corpus: MakeCorpus) -> None:
    corpus = make_corpus(NASTY)
    with pytest.raises(ConfigError, match="4 bytes or more but got 3"):
        next(corpus.chunks(corpus.split("train"), 3))


@pytest.mark.parametrize(
    ("text", "degenerate"),
    [("€" * 50, True), ("a" * 49 + "b", False), ("ab" + "a" * 2**20, False)],
)
def test_one_distinct_character_is_degenerate(
    make_corpus: MakeCorpus, text: str, degenerate: bool
) -> None:
    assert make_corpus(text).degenerate is degenerate


@pytest.mark.parametrize(
    ("text", "why"), [("", "empty"), (" \t\r\n\n", "white space"), ("a", "each split")]
)
def test_a_corpus_without_text_is_refused(make_corpus: MakeCorpus, text: str, why: str) -> None:
    with pytest.raises(DataError, match=why):
        make_corpus(text)


@pytest.mark.parametrize(
    ("before", "wrong"),
    [
        ("", b"\xff\xfeU\0T\0F\0"),
        ("long enough to " * 100_000, b"\xe9t\xe9"),  # past the first block
        ("x" * ((1 << 20) - 2), b"\xf0\x9f\x98x"),  # over the edge of a block
        ("cut short: ", b"\xe2\x82"),  # at the end of the file
    ],
)
def test_text_that_is_not_utf8_is_refused_with_its_offset(
    make_corpus: MakeCorpus, before: str, wrong: bytes
) -> None:
    with pytest.raises(DataError, match=f"at byte offset {len(before)} "):
        make_corpus(before.encode() + wrong)


def test_a_mistyped_name_gets_the_nearest_one(cache: Path) -> None:
    with pytest.raises(ConfigError, match=r"pydocs, tinyshakespeare.*did you mean tinyshakesp"):
        load("tinyshakespear", cache)


@pytest.mark.parametrize("name", ["../nothing/here", "x" * 300, "nul\0byte"])
def test_a_name_that_is_no_path_is_refused_in_two_lines(name: str, cache: Path) -> None:
    with pytest.raises(ConfigError, match="existing path") as refusal:
        load(name, cache)
    assert len(str(refusal.value)) < 200


def test_a_device_is_no_corpus(cache: Path) -> None:
    with pytest.raises(DataError, match="neither"):
        load(os.devnull, cache)


def test_a_shown_name_has_only_harmless_characters(make_corpus: MakeCorpus) -> None:
    assert make_corpus("some text", name="my text: ü.txt").name == "my_text___.txt"


def test_a_folder_is_its_files_in_sorted_order(tmp_path: Path, cache: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "b").mkdir(parents=True)
    (folder / "b" / "1.txt").write_bytes(b"second, no newline")
    (folder / "a.txt").write_bytes(b"first\r\n")
    (folder / "b" / "0.md").write_bytes(b"not text")
    (folder / "c.txt").write_bytes(b"")
    (folder / "d.txt").write_bytes(b"last")
    corpus = load(folder, cache)
    assert corpus.path.read_bytes() == b"first\r\nsecond, no newline\nlast"
    assert corpus.name == "folder"

    (folder / "a.txt").write_bytes(b"changed\r\n")
    assert load(folder, cache).path.read_bytes() == b"changed\r\nsecond, no newline\nlast"

    (folder / "d.txt").write_bytes(b"same")  # as long as before, at another time
    os.utime(folder / "d.txt", ns=(0, 0))
    assert load(folder, cache).path.read_bytes() == b"changed\r\nsecond, no newline\nsame"


def test_a_folder_without_text_files_is_refused(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(DataError, match=r"must hold \.txt files"):
        load(tmp_path, cache)


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "link.txt").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(DataError, match=r"leads to .*secret\.txt"):
        load(tmp_path / "folder", cache)


def test_a_damaged_copy_of_a_folder_is_made_again_with_a_word(
    tmp_path: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.txt").write_text("the text")
    corpus = load(tmp_path / "folder", cache)
    corpus.path.write_bytes(b"the test")
    assert load(tmp_path / "folder", cache).digest == corpus.digest
    assert corpus.path.read_bytes() == b"the text"
    assert "damaged" in caplog.text


@pytest.mark.parametrize(
    ("content", "offset"), [(b"caf\xe9 au lait", 3), (b"x" * (1 << 20) + b"\xff", 1 << 20)]
)
def test_a_file_of_a_folder_that_is_not_utf8_is_named_with_its_own_offset(
    content: bytes, offset: int, tmp_path: Path, cache: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.txt").write_text("first, and fine\n" * 100)
    (folder / "b.txt").write_bytes(content)
    with pytest.raises(DataError, match=rf"but {folder}/b\.txt is not at byte offset {offset} "):
        load(folder, cache)
    (folder / "b.txt").write_bytes("né".encode()[:-1])  # which the next file would not make whole
    (folder / "c.txt").write_bytes("é".encode()[1:])
    with pytest.raises(DataError, match=r"b\.txt is not at byte offset 1 "):
        load(folder, cache)
    assert list((cache / "corpora").iterdir()) == []


def test_hidden_files_and_folders_are_no_part_of_the_text(tmp_path: Path, cache: Path) -> None:
    folder = tmp_path / ".folder"  # its own name does not count
    for name in (".hidden.txt", ".git/a.txt", "b/.c/d.txt", "b/e.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    assert load(folder, cache).path.read_bytes() == b"b/e.txt"
    (folder / "b" / "e.txt").unlink()
    with pytest.raises(DataError, match=r"\.txt files that are not hidden"):
        load(folder, cache)
