"""One contract for every kind of tokenizer, and what no kind may see."""

import json
from collections.abc import Callable
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
import pytest

from gpt.config import TokenizerConfig
from gpt.corpora import Corpus, Span
from gpt.errors import DataError, InfeasibleError
from gpt.tokenizers import Tokenizer, load_or_train_tokenizer, load_tokenizer, train_tokenizer
from gpt.tokenizers.train import EvenShare

MakeCorpus = Callable[..., Corpus]

PROSE = "\n".join(topics[name] for name in ("assert", "for", "import", "try", "while", "with"))

LOSSLESS = {
    "byte": TokenizerConfig(kind="byte"),
    "char": TokenizerConfig(kind="char"),
    "unigram": TokenizerConfig(kind="unigram", vocab_size=450),
    "bpe": TokenizerConfig(kind="bpe", vocab_size=450),
}
EVERY = {**LOSSLESS, "original-unigram": TokenizerConfig(kind="original-unigram", vocab_size=450)}

NASTY = {
    "empty": "",
    "plain": 'The "for" statement is used to iterate.\n',
    "spaces": "   leading, a    run, a\ttab and trailing  \n    ",
    "newlines": "\n\n\r\n\r\rold\n",
    "nul": "\0 a\0\0b",
    "mark": "\ufeffbyte-order mark, and again \ufeff",
    "emoji": "😀 family 👩\u200d👩\u200d👧\u200d👦, flag 🇪🇺",
    "combining": "e\u0301 é Å A\u030a ﬁ ½ Ⅷ",
    "spaces of all kinds": "no\u00a0break\u3000wide\u2028line\u0085next",
    "sentencepiece's own": "\u2581 \u2581\u2581a\u2585 ▅\u2047 ⁇ <unk> <s> </s> <0x41> <0x0A>",
    "far ends": "\u0001\u007f\u0080\u07ff\u0800\uffff\U00010000\U0010ffff",
    "one long line": "word " * 2000 + "x" * 9000,
}


@pytest.fixture(scope="module")
def prose(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    path = tmp_path_factory.mktemp("prose") / "prose.txt"
    path.write_text(PROSE, "utf-8", newline="")
    n_bytes = path.stat().st_size
    splits = {"train": Span(0, n_bytes - 5000), "val": Span(n_bytes - 5000, n_bytes)}
    return Corpus("prose", path, "digest", n_bytes, splits, degenerate=False)


@pytest.fixture(scope="module")
def tokenizers(prose: Corpus) -> dict[str, Tokenizer]:
    return {name: train_tokenizer(config, prose) for name, config in EVERY.items()}


@pytest.mark.parametrize("text", NASTY.values(), ids=NASTY.keys())
@pytest.mark.parametrize("name", LOSSLESS)
def test_the_text_comes_back(tokenizers: dict[str, Tokenizer], name: str, text: str) -> None:
    tokenizer = tokenizers[name]
    ids = tokenizer.encode(text)
    assert tokenizer.lossless
    assert tokenizer.decode(ids) == text
    assert b"".join(tokenizer.decode_bytes([i]) for i in ids) == text.encode()
    assert tokenizer.token_lengths[ids].sum() == len(text.encode())


@pytest.mark.parametrize("text", NASTY.values(), ids=NASTY.keys())
@pytest.mark.parametrize("name", EVERY)
def test_ids_are_in_the_vocabulary(tokenizers: dict[str, Tokenizer], name: str, text: str) -> None:
    ids = tokenizers[name].encode(text)
    assert ids.ndim == 1
    assert ids.dtype == tokenizers[name].dtype == np.uint16
    assert (ids < tokenizers[name].vocab_size).all()


@pytest.mark.parametrize("name", EVERY)
def test_saved_and_loaded_it_is_the_same(
    tokenizers: dict[str, Tokenizer], name: str, tmp_path: Path
) -> None:
    tokenizer = tokenizers[name]
    tokenizer.save(tmp_path)
    loaded = load_tokenizer(tmp_path)
    assert type(loaded) is type(tokenizer)
    assert (loaded.kind, loaded.vocab_size, loaded.lossless, loaded.digest) == (
        name,
        tokenizer.vocab_size,
        EVERY[name].lossless,
        tokenizer.digest,
    )
    ids = loaded.encode(PROSE)
    assert (ids == tokenizer.encode(PROSE)).all()
    assert loaded.decode(ids) == tokenizer.decode(ids)
    assert {path.suffix for path in tmp_path.iterdir()} <= {".json", ".model"}


@pytest.mark.parametrize("name", EVERY)
def test_trained_again_it_has_the_same_digest(
    tokenizers: dict[str, Tokenizer], name: str, prose: Corpus
) -> None:
    assert train_tokenizer(EVERY[name], prose).digest == tokenizers[name].digest


def test_other_tokenizers_have_other_digests(
    tokenizers: dict[str, Tokenizer], prose: Corpus
) -> None:
    smaller = train_tokenizer(TokenizerConfig(kind="bpe", vocab_size=449), prose)
    assert len({smaller.digest, *(t.digest for t in tokenizers.values())}) == len(EVERY) + 1


@pytest.mark.parametrize("name", LOSSLESS)
def test_bytes_that_are_no_text_are_replaced(tokenizers: dict[str, Tokenizer], name: str) -> None:
    tokenizer = tokenizers[name]
    half = next(i for i in range(tokenizer.vocab_size) if tokenizer.decode_bytes([i]) == b"\xf0")
    assert tokenizer.decode([half, half]) == "\ufffd\ufffd"
    assert tokenizer.decode_bytes([half, half]) == b"\xf0\xf0"


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("shift", [-1, 0])
def test_ids_that_do_not_exist_are_refused(
    tokenizers: dict[str, Tokenizer], name: str, shift: int
) -> None:
    wrong = -1 if shift else tokenizers[name].vocab_size
    with pytest.raises(DataError, match=f"but got 0 to {wrong}|but got {wrong} to 0"):
        tokenizers[name].decode([0, wrong])


@pytest.mark.parametrize("name", LOSSLESS)
def test_chunks_that_end_after_newlines_encode_as_the_whole(
    tokenizers: dict[str, Tokenizer], name: str, prose: Corpus
) -> None:
    encode = tokenizers[name].encode
    whole = Span(0, prose.n_bytes)
    chunks = list(prose.chunks(whole, n_bytes=300))
    assert len(chunks) > 80
    assert np.array_equal(np.concatenate([encode(c) for c in chunks]), encode(PROSE))


@pytest.mark.parametrize("name", EVERY)
def test_rule_03_nothing_leaks_out_of_the_held_out_part(
    make_corpus: MakeCorpus, name: str
) -> None:
    """The same training bytes before two held-out parts, one of them poisoned."""
    clean, poisoned = PROSE[:5000], "ÿPOISONÿ" * 500
    poison = poisoned.encode()[: len(clean.encode()) // 10 * 10]
    held_out = clean.encode()[: len(poison)]
    share = len(poison) / (len(PROSE.encode()) + len(poison))
    digests = []
    for tail in (held_out, poison):
        corpus = make_corpus(PROSE.encode() + tail, val_fraction=share)
        assert abs(corpus.split("val").n_bytes - len(tail)) <= 1
        digests.append(train_tokenizer(EVERY[name], corpus).digest)
    leaks = digests[0] != digests[1]
    assert leaks is EVERY[name].sees_validation


@pytest.mark.parametrize("name", sorted(EVERY.keys() - {"byte"}))
def test_the_training_part_is_seen(
    tokenizers: dict[str, Tokenizer], name: str, make_corpus: MakeCorpus
) -> None:
    corpus = make_corpus("ÿPOISONÿ" * 500 + PROSE)
    assert train_tokenizer(EVERY[name], corpus).digest != tokenizers[name].digest


@pytest.mark.parametrize("name", EVERY)
def test_a_tokenizer_is_trained_once(
    name: str, make_corpus: MakeCorpus, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = make_corpus(PROSE)
    first = load_or_train_tokenizer(EVERY[name], corpus, cache)
    other = load_or_train_tokenizer(EVERY[name], make_corpus(PROSE, val_fraction=0.5), cache)
    assert (other.digest == first.digest) is (name in {"byte", "original-unigram"})
    monkeypatch.setattr("gpt.tokenizers.train.train_tokenizer", None)
    assert load_or_train_tokenizer(EVERY[name], corpus, cache).digest == first.digest


def test_every_field_that_makes_another_tokenizer_names_another_entry(
    make_corpus: MakeCorpus, cache: Path
) -> None:
    corpus = make_corpus(PROSE)
    configs = [
        *(TokenizerConfig(kind="char", byte_fallback=fallback) for fallback in (True, False)),
        *(TokenizerConfig(kind="bpe", vocab_size=size) for size in (400, 401)),
        TokenizerConfig(kind="unigram", vocab_size=400),
    ]
    found = [load_or_train_tokenizer(config, corpus, cache) for config in configs]
    assert [one.digest for one in found] == [train_tokenizer(c, corpus).digest for c in configs]
    assert len({one.digest for one in found}) == len(configs)


@pytest.mark.parametrize("name", ["char", "bpe"])
@pytest.mark.parametrize("file", ["tokenizer.json", "tokenizer.model"])
def test_a_damaged_tokenizer_is_trained_again_with_a_word(
    name: str,
    file: str,
    make_corpus: MakeCorpus,
    cache: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One character for another, as a JSON file or a model may well have it."""
    corpus = make_corpus(PROSE)
    first = load_or_train_tokenizer(EVERY[name], corpus, cache)
    if file not in first.files():
        return
    path = next((cache / "tokenizers").glob(f"*/{file}"))
    path.write_bytes(path.read_bytes().replace(b"a", b"b", 1))
    assert load_or_train_tokenizer(EVERY[name], corpus, cache).digest == first.digest
    assert f"other content in {file}" in caplog.text


def test_an_infeasible_tokenizer_leaves_nothing_in_the_cache(
    make_corpus: MakeCorpus, cache: Path
) -> None:
    config = TokenizerConfig(kind="bpe", vocab_size=100_000)
    with pytest.raises(InfeasibleError):
        load_or_train_tokenizer(config, make_corpus(PROSE), cache)
    assert list((cache / "tokenizers").iterdir()) == []


def test_a_folder_without_a_tokenizer_is_refused(
    tokenizers: dict[str, Tokenizer], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="must hold a saved tokenizer"):
        load_tokenizer(tmp_path)
    tokenizers["bpe"].save(tmp_path)
    (tmp_path / "tokenizer.model").write_bytes(b"damaged")
    with pytest.raises(DataError, match="must hold a saved tokenizer"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        *("", "{", "[]", "5", "{}", '{"kind": "morse"}', '{"kind": ["bpe"]}', '{"kind": "char"}'),
        '{"kind": "char", "characters": 5, "byte_fallback": true}',
        '{"kind": "byte", "more": 1}',
    ],
)
def test_a_file_that_is_no_tokenizer_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(DataError, match="must hold a saved tokenizer"):
        load_tokenizer(tmp_path)


def test_of_a_huge_text_an_even_share_is_seen(make_corpus: MakeCorpus) -> None:
    mebibyte = 1 << 20
    corpus = make_corpus("".join(f"{i:07}\n" for i in range(mebibyte)))  # 8 MiB in order
    seen = list(EvenShare(corpus, Span(0, corpus.n_bytes), 2 * mebibyte))
    assert sum(map(len, seen)) == 2 * mebibyte
    starts = [int(chunk[:7]) for chunk in seen]
    assert starts == [3 * mebibyte // 8, 7 * mebibyte // 8]
    assert "".join(EvenShare(corpus, corpus.split("val"), 2 * mebibyte)) == corpus.read(
        corpus.split("val")
    )


def test_a_tokenizer_says_how_much_it_saw(prose: Corpus, tokenizers: dict[str, Tokenizer]) -> None:
    def seen(name: str) -> int:
        return json.loads(tokenizers[name].files()["tokenizer.json"])["trained_bytes"]

    assert seen("bpe") == seen("unigram") == prose.split("train").n_bytes
    assert seen("original-unigram") == prose.n_bytes
