"""How fast does each kind of tokenizer encode and decode?

On a stretch of the embedded corpus that they have not seen. A tokenizer that doesn't
give the text back gets no time.
"""

from pathlib import Path

import pytest
import torch

from bench.micro.accounting import Work
from bench.micro.fixture import Timed
from bench.micro.stopwatch import Subject
from gpt.config import SUBWORD, CorpusConfig, TokenizerConfig, TokenizerKind
from gpt.corpora import load_corpus
from gpt.tokenizers import load_or_train_tokenizer

VOCAB_SIZE = 512
TINY_VOCAB_SIZE = 300
CHARACTERS = 300_000
"""Two thirds to train the tokenizers on, one third to time them on."""

TINY_TEXT = "".join(f"{n} bottles of “beer” on the wall. Take {n % 7} down!\n" for n in range(999))
KINDS: tuple[TokenizerKind, ...] = ("byte", "char", "unigram", "bpe")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where text and tokenizers are kept for this session."""
    return tmp_path_factory.mktemp("text")


@pytest.fixture(scope="module")
def text(folder: Path, size: str) -> str:
    if size == "tiny":
        return TINY_TEXT
    corpus = load_corpus(CorpusConfig(), cache=folder)
    return next(iter(corpus.chunks(corpus.split("train"))))[:CHARACTERS]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("direction", ["encode", "decode"])
def test_tokenizer(
    kind: TokenizerKind, direction: str, text: str, folder: Path, size: str, timed: Timed
) -> None:
    subject = Subject(series=f"tokenizer {direction}, {CHARACTERS // 3:,} characters", name=kind)
    path = folder / "text.txt"
    path.write_text(text[: len(text) * 2 // 3], "utf-8")
    corpus = load_corpus(CorpusConfig(name=str(path)), cache=folder)
    vocab_size = TINY_VOCAB_SIZE if size == "tiny" else VOCAB_SIZE
    config = TokenizerConfig(kind=kind, vocab_size=vocab_size if kind in SUBWORD else None)
    tokenizer = load_or_train_tokenizer(config, corpus, folder)
    timed_text = text[len(text) * 2 // 3 :]
    ids = tokenizer.encode(timed_text)
    if tokenizer.decode(ids) != timed_text:
        timed.refuse_wrong(subject, "decoding does not give the text back")

    run = (
        (lambda: tokenizer.encode(timed_text))
        if direction == "encode"
        else (lambda: tokenizer.decode(ids))
    )
    work = Work(flops=0, bytes=len(timed_text.encode()) + ids.nbytes)
    timed(run, subject, work, torch.device("cpu"))
