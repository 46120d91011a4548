"""Worked examples of the two tokenizers that take the vocabulary they find."""

from collections.abc import Callable

import pytest

from gpt.config import TokenizerConfig
from gpt.corpora import Corpus
from gpt.errors import DataError
from gpt.tokenizers import train_tokenizer
from gpt.tokenizers.byte import ByteTokenizer
from gpt.tokenizers.char import CharTokenizer


def test_bytes_of_an_accent() -> None:
    tokenizer = ByteTokenizer()
    assert tokenizer.encode("né").tolist() == [110, 195, 169]
    assert tokenizer.decode([110, 195, 169]) == "né"
    assert tokenizer.vocab_size == 256


def test_characters_in_sorted_order() -> None:
    tokenizer = CharTokenizer.train(["hel", "lo"], byte_fallback=False)
    assert tokenizer.vocab_size == 4
    assert tokenizer.encode("hello").tolist() == [1, 0, 2, 2, 3]
    assert tokenizer.decode([1, 0, 2, 2, 3]) == "hello"


def test_an_unseen_character_is_spelled_in_bytes() -> None:
    tokenizer = CharTokenizer.train(["hello"], byte_fallback=True)
    assert tokenizer.vocab_size == 4 + 256
    assert tokenizer.encode("hél€o").tolist() == [
        *[1, 4 + 0xC3, 4 + 0xA9, 2],
        *[4 + 0xE2, 4 + 0x82, 4 + 0xAC, 3],
    ]


def test_without_the_fallback_an_unseen_character_is_named() -> None:
    tokenizer = CharTokenizer.train(["hello"], byte_fallback=False)
    with pytest.raises(DataError, match=r"'é' \(U\+00E9\), [^\n]*\n--set byte_fallback=True "):
        tokenizer.encode("hél€o")


def test_a_lookup_past_the_largest_character_is_unseen() -> None:
    tokenizer = CharTokenizer.train(["ab"], byte_fallback=True)
    assert tokenizer.encode("bc\U0010ffff").tolist()[:2] == [1, 2 + ord("c")]


def test_a_large_vocabulary_takes_wider_ids() -> None:
    characters = "".join(map(chr, range(0x1_0000, 0x2_0000)))
    assert CharTokenizer(characters, byte_fallback=False).dtype == "uint16"
    wide = CharTokenizer(characters + "\U00020000", byte_fallback=False)
    assert wide.dtype == "uint32"
    assert wide.encode("\U00020000\U00010000").tolist() == [65_536, 0]


def test_the_ids_of_the_lecture(real_corpus: Callable[[str], Corpus]) -> None:
    """Karpathy, "Let's build GPT: from scratch, in code, spelled out": 65 characters, and the ids
    that it prints."""
    corpus = real_corpus("tinyshakespeare")
    tokenizer = train_tokenizer(TokenizerConfig(kind="char", byte_fallback=False), corpus)
    assert tokenizer.vocab_size == 65
    assert tokenizer.encode("hii there").tolist() == [46, 47, 47, 1, 58, 46, 43, 56, 43]
    start = [18, 47, 56, 57, 58, 1, 15, 47, 58, 47, 64, 43, 52, 10, 0, 14, 43, 44, 53, 56, 43]
    text = corpus.read(corpus.split("train"))
    assert tokenizer.encode(text)[: len(start)].tolist() == start
    assert len(tokenizer.encode(text)) == 1_003_854
