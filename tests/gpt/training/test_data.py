import json
import os
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from gpt.config import TokenizerConfig
from gpt.corpora import Corpus, Split
from gpt.errors import DataError
from gpt.tokenizers import TokenArray, train_tokenizer
from gpt.tokenizers.byte import ByteTokenizer
from gpt.tokenizers.char import CharTokenizer
from gpt.training.batches import sample_batch, sample_batches
from gpt.training.data import EncodedCorpus, load_or_encode

MakeCorpus = Callable[..., Corpus]

TEXT = "one line\nanother, with an é\n" * 40


class Forgetful(ByteTokenizer):
    """Claims to be lossless and drops every "x"."""

    def encode(self, text: str) -> TokenArray:
        return super().encode(text.replace("x", ""))


class Confused(ByteTokenizer):
    """Claims to be lossless and takes every "x" for a "y", which no count of bytes shows."""

    def encode(self, text: str) -> TokenArray:
        return super().encode(text.replace("x", "y"))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_each_split_is_its_ids_and_its_bytes(make_corpus: MakeCorpus, cache: Path) -> None:
    # "abcé": 5 bytes, 4 characters; 10 of them, the last held out
    corpus = make_corpus("abcé" * 10)
    tokenizer = train_tokenizer(TokenizerConfig(kind="char", byte_fallback=False), corpus)
    encoded = load_or_encode(corpus, tokenizer, cache)
    assert encoded.train.tolist() == [0, 1, 2, 3] * 9
    assert encoded.val.tolist() == [0, 1, 2, 3]
    assert encoded.train.dtype == encoded.val.dtype == np.uint16
    assert (encoded.train_bytes, encoded.val_bytes) == (45, 5)
    assert encoded.bytes_per_token == 45 / 36
    assert encoded.round_trip
    assert isinstance(encoded.train, np.memmap)
    assert not encoded.train.flags.writeable


def test_a_large_vocabulary_is_stored_wider(make_corpus: MakeCorpus, cache: Path) -> None:
    characters = "".join(map(chr, range(0x1_0000, 0x2_0001)))
    tokenizer = CharTokenizer(characters, byte_fallback=False)
    encoded = load_or_encode(make_corpus("\U00020000\U00010000" * 10), tokenizer, cache)
    assert encoded.train.dtype == np.uint32
    assert encoded.train.tolist() == [65_536, 0] * 9


def test_a_text_is_encoded_once(make_corpus: MakeCorpus, cache: Path) -> None:
    corpus, tokenizer = make_corpus(TEXT), ByteTokenizer()
    first = load_or_encode(corpus, tokenizer, cache)
    corpus.path.unlink()
    again = load_or_encode(corpus, tokenizer, cache)
    assert np.array_equal(again.train, first.train)
    assert (again.train_bytes, again.val_bytes, again.round_trip) == (
        first.train_bytes,
        first.val_bytes,
        True,
    )


def test_text_split_and_tokenizer_each_have_their_own_ids(
    make_corpus: MakeCorpus, cache: Path
) -> None:
    corpus = make_corpus(TEXT)
    load_or_encode(corpus, ByteTokenizer(), cache)
    load_or_encode(make_corpus(TEXT, name="2", val_fraction=0.2), ByteTokenizer(), cache)
    load_or_encode(make_corpus(TEXT + "more", name="3"), ByteTokenizer(), cache)
    load_or_encode(corpus, CharTokenizer("abc", byte_fallback=True), cache)
    assert len(list((cache / "encoded").iterdir())) == 4


def test_many_at_once_get_the_same(make_corpus: MakeCorpus, cache: Path) -> None:
    corpus, tokenizer = make_corpus(TEXT * 50), ByteTokenizer()
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: load_or_encode(corpus, tokenizer, cache), range(8)))
    expected = np.frombuffer((TEXT * 50).encode(), dtype=np.uint8)
    for encoded in results:
        assert np.array_equal(np.concatenate([encoded.train, encoded.val]), expected)
    assert len(list((cache / "encoded").iterdir())) == 1


@pytest.mark.parametrize(
    ("liar", "text"),
    [(Forgetful, "x" + TEXT), (Forgetful, TEXT + "x"), (Confused, TEXT + "x")],
    ids=["loses training text", "loses held-out text", "changes held-out text"],
)
def test_rule_02_a_tokenizer_that_loses_what_it_claims_to_keep_is_refused(
    make_corpus: MakeCorpus, cache: Path, liar: type[ByteTokenizer], text: str
) -> None:
    for test_fraction in (0.0, 0.1):
        corpus = make_corpus(text, test_fraction=test_fraction)
        with pytest.raises(DataError, match=r"must give the text back but decoding '.*x.*' gave"):
            load_or_encode(corpus, liar(), cache)
    assert list((cache / "encoded").iterdir()) == []


def test_a_lossy_tokenizer_is_recorded_as_such(make_corpus: MakeCorpus, cache: Path) -> None:
    corpus = make_corpus(TEXT)
    config = TokenizerConfig(kind="original-unigram", vocab_size=20)
    encoded = load_or_encode(corpus, train_tokenizer(config, corpus), cache)
    assert not encoded.round_trip
    assert encoded.val_bytes == corpus.split("val").n_bytes
    metadata = next((cache / "encoded").glob("*/metadata.json"))
    assert json.loads(metadata.read_text())["round_trip"] is False


def test_a_split_that_a_lossy_tokenizer_empties_is_refused(
    make_corpus: MakeCorpus, cache: Path
) -> None:
    corpus = make_corpus(TEXT + " " * 2000, val_fraction=0.5)
    config = TokenizerConfig(kind="original-unigram", vocab_size=20)
    with pytest.raises(DataError, match="val part has none"):
        load_or_encode(corpus, train_tokenizer(config, corpus), cache)


def test_an_unseen_character_without_the_fallback_is_refused(
    make_corpus: MakeCorpus, cache: Path
) -> None:
    corpus = make_corpus(TEXT + "Ω")
    tokenizer = train_tokenizer(TokenizerConfig(kind="char", byte_fallback=False), corpus)
    with pytest.raises(DataError, match=r"'Ω' \(U\+03A9\)"):
        load_or_encode(corpus, tokenizer, cache)


@pytest.mark.parametrize("split", ["train", "val", "test"])
@pytest.mark.parametrize("damage", ["zeroed", "altered", "cut", "gone"])
def test_damaged_ids_are_made_again_with_a_word(
    make_corpus: MakeCorpus,
    cache: Path,
    split: Split,
    damage: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    corpus = make_corpus(TEXT, test_fraction=0.2)
    first = load_or_encode(corpus, ByteTokenizer(), cache)
    whole = {name: np.array(getattr(first, name)) for name in corpus.splits}
    path = next((cache / "encoded").glob(f"*/{split}.bin"))
    content = path.read_bytes()
    path.unlink()
    if damage != "gone":
        path.write_bytes(
            {
                "zeroed": bytes(len(content)),
                "altered": content[:-2] + b"a\0",
                "cut": content[:-1],
            }[damage]
        )
    again = load_or_encode(corpus, ByteTokenizer(), cache)
    for name, ids in whole.items():
        assert np.array_equal(getattr(again, name), ids)
    (word,) = caplog.messages
    assert f"{split}.bin" in word
    assert "made again" in word


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"round_trip": 5}', "\0"])
def test_damaged_metadata_is_made_again(
    make_corpus: MakeCorpus, cache: Path, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    corpus = make_corpus(TEXT)
    load_or_encode(corpus, ByteTokenizer(), cache)
    metadata = next((cache / "encoded").glob("*/metadata.json"))
    good = metadata.read_text()
    metadata.write_text(content)
    assert load_or_encode(corpus, ByteTokenizer(), cache).round_trip is True
    assert metadata.read_text() == good
    assert "metadata.json" in caplog.text


def test_a_text_that_changes_while_it_is_in_use_is_refused(
    make_corpus: MakeCorpus, cache: Path
) -> None:
    """Or other text would be kept under its digest, for ever."""
    corpus = make_corpus(TEXT)
    for text in (TEXT[:-300], TEXT.replace("one", "two")):
        corpus.path.write_bytes(text.encode())
        os.utime(corpus.path, ns=(1, 1))
        with pytest.raises(DataError, match="must stay as it is while it is in use"):
            load_or_encode(corpus, ByteTokenizer(), cache)
    corpus.path.unlink()
    with pytest.raises(DataError, match=r"must be a readable file but got .*No such file"):
        load_or_encode(corpus, ByteTokenizer(), cache)
    assert list((cache / "encoded").iterdir()) == []


def test_one_distinct_character_is_encoded_and_flagged(
    make_corpus: MakeCorpus, cache: Path
) -> None:
    corpus = make_corpus("a" * 100)

    assert corpus.degenerate
    assert set(load_or_encode(corpus, ByteTokenizer(), cache).train.tolist()) == {ord("a")}


def test_a_split_must_be_longer_than_the_block(make_corpus: MakeCorpus, cache: Path) -> None:
    encoded = load_or_encode(make_corpus("a" * 90 + "b" * 10), ByteTokenizer(), cache)
    encoded.require_longer_than(9)
    with pytest.raises(DataError, match=r"size 10 .* has 90 tokens and the held-out part 10"):
        encoded.require_longer_than(10)
    parts = make_corpus("a" * 100, val_fraction=0.2, test_fraction=0.1)
    with_test = load_or_encode(parts, ByteTokenizer(), cache)
    with pytest.raises(DataError, match=r"size 10 .* has 70 tokens and the held-out part 10"):
        with_test.require_longer_than(10)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_text(make_corpus: MakeCorpus, cache: Path) -> None:
    def peak_bytes(n_mebibytes: int) -> int:
        text = b"0123456789abcde\n" * (n_mebibytes << 16)
        tracemalloc.start()
        try:
            corpus = make_corpus(text, val_fraction=0.5)
            load_or_encode(corpus, ByteTokenizer(), cache)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak_bytes(16) < 1.1 * peak_bytes(4)


def test_windows_lie_at_the_drawn_places() -> None:
    tokens = np.arange(1000, 1100, dtype=np.uint16)
    x, y = sample_batch(tokens, block_size=8, batch_size=5, generator=generator())
    fractions = torch.rand(5, dtype=torch.float64, generator=generator())
    for row, fraction in enumerate(fractions.tolist()):
        start = 1000 + int(fraction * (100 - 8))
        assert x[row].tolist() == list(range(start, start + 8))
        assert y[row].tolist() == list(range(start + 1, start + 9))
    assert x.dtype == y.dtype == torch.int64
    assert x.is_contiguous()
    assert y.is_contiguous()


def test_every_window_can_be_drawn_and_none_runs_over_the_end() -> None:
    tokens = np.arange(5, dtype=np.uint16)
    x, y = sample_batch(tokens, block_size=2, batch_size=200, generator=generator())
    assert set(x[:, 0].tolist()) == {0, 1, 2}
    assert y.max() == 4
    with pytest.raises(DataError, match="got 5 tokens and 5"):
        sample_batch(tokens, block_size=5, batch_size=1, generator=generator())


def test_rule_09_one_seed_visits_the_same_places_whatever_the_tokenizer() -> None:
    """The same text in tokens of one byte and of four."""
    fine, coarse = np.arange(4000, dtype=np.uint16), np.arange(0, 4000, 4, dtype=np.uint16)
    x_fine, _ = sample_batch(fine, block_size=4, batch_size=100, generator=generator(7))
    x_coarse, _ = sample_batch(coarse, block_size=1, batch_size=100, generator=generator(7))
    assert (x_fine[:, 0] - x_coarse[:, 0]).abs().max() <= 4


@pytest.mark.parametrize("batch_size", [1, 3, 16, 64])
def test_one_gather_gives_what_many_calls_give(batch_size: int) -> None:
    tokens = np.arange(500, dtype=np.uint16)
    xs, ys = sample_batches(tokens, 8, batch_size, 7, one := generator(3))
    many = generator(3)
    for x, y in zip(xs, ys, strict=True):
        x_one, y_one = sample_batch(tokens, 8, batch_size, many)
        assert torch.equal(x, x_one)
        assert torch.equal(y, y_one)
    assert xs.shape == ys.shape == (7, batch_size, 8)
    on_device = torch.from_numpy(tokens.astype(np.int32))
    x_device, y_device = sample_batches(on_device, 8, batch_size, 7, generator(3))
    assert torch.equal(x_device, xs)
    assert torch.equal(y_device, ys)
    assert torch.equal(one.get_state(), many.get_state())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tinyshakespeare", "don_quixote"])
@pytest.mark.parametrize(
    ("kind", "vocab_size"), [("byte", None), ("char", None), ("unigram", 1024), ("bpe", 1024)]
)
def test_the_real_corpora_come_back_to_the_byte(
    real_corpus: Callable[[str], Corpus],
    cache: Path,
    name: str,
    kind: str,
    vocab_size: int | None,
) -> None:
    corpus = real_corpus(name)
    config = TokenizerConfig(kind=kind, vocab_size=vocab_size)
    tokenizer = train_tokenizer(config, corpus)
    encoded: EncodedCorpus = load_or_encode(corpus, tokenizer, cache)
    ids = np.concatenate([encoded.train, encoded.val])
    assert tokenizer.decode_bytes(ids) == corpus.path.read_bytes()
    assert encoded.train_bytes + encoded.val_bytes == corpus.n_bytes


def test_the_test_part_is_encoded_apart(make_corpus: MakeCorpus, cache: Path) -> None:
    """And a corpus split otherwise is not taken for it, though it is the same text."""
    text = "0123456789" * 10
    with_test = load_or_encode(
        make_corpus(text, val_fraction=0.1, test_fraction=0.2), ByteTokenizer(), cache
    )
    assert with_test.test is not None
    assert with_test.test.tolist() == list(text[80:].encode())
    assert with_test.test_bytes == 20
    assert with_test.val.tolist() == list(text[70:80].encode())
    without = load_or_encode(make_corpus(text, val_fraction=0.3), ByteTokenizer(), cache)
    assert without.test is None
    assert without.val.tolist() == list(text[70:].encode())
