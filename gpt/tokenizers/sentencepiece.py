"""A token is a piece that SentencePiece found: a unigram model or byte-pair merges, made lossless.

By default it folds characters and white space and adds a space in front; all of that is off here.
What the vocabulary lacks, newlines among it, is spelled in bytes. Three things remain:

- It writes a space as U+2581: a real U+2581 is spelled in bytes here (and so is a space, if the
  training text had none), and removed before training.
- The trainer leaves out lines with a character that it reserves: `probe` finds out which of the
  text's characters are such, and they are removed before training.
- The trainer leaves out long lines: it gets the text in `sentences`. So does the encoder, which is
  three times as fast that way on megabytes.
"""

import io
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, ClassVar, Self

import numpy as np
import sentencepiece as spm

from gpt.config.tokenizer import TokenizerKind
from gpt.errors import InfeasibleError, MachineError
from gpt.tokenizers.base import JSON_FILE, TokenArray, Tokenizer, to_json
from gpt.tokenizers.probe import left_out

MODEL_FILE = "tokenizer.model"
SPACE_MARK = "\u2581"

LONGEST_SENTENCE = "\U0010ffff" * 1000
SENTENCE = re.compile(
    r"[^\n]{0,999}\n"  # a line
    r"|[^\n]{1,1000}(?:\Z|(?= ))"  # the last line, or a long one's part before a space
    r"|[^\n]{1,1000}"  # 1,000 characters without a space; at most 4,000 bytes
)

COMMON: Mapping[str, Any] = {
    "max_sentence_length": 4192,  # SentencePiece's own default, made explicit
    "num_threads": 1,  # the order of a unigram model's sums decides about some pieces
    "minloglevel": 2,
}
"""Options of every trainer, unless it has its own."""

LOSSLESS: Mapping[str, Any] = {
    "normalization_rule_name": "identity",
    "remove_extra_whitespaces": False,
    "add_dummy_prefix": False,
    "byte_fallback": True,
    "unk_id": 0,  # required, never used: bytes spell everything
    "bos_id": -1,
    "eos_id": -1,
    "pad_id": -1,
    # Runs of spaces as pieces: a seventh fewer tokens on Python's language reference, V = 4,000.
    "allow_whitespace_only_pieces": True,
}


class SentencePieceTokenizer(Tokenizer):
    """A lossless unigram or BPE model."""

    options: ClassVar[Mapping[str, Any]] = LOSSLESS

    def __init__(self, kind: TokenizerKind, model: bytes, *, trained_bytes: int) -> None:
        self._processor = spm.SentencePieceProcessor(model_proto=model)
        super().__init__(kind, [*map(self._piece_bytes, range(len(self._processor)))])
        self._model = model
        self._trained_bytes = trained_bytes
        knows_spaces = not self._processor.IsUnknown(self._processor.PieceToId(SPACE_MARK))
        self._spelled = re.compile(f"([{SPACE_MARK}{'' if knows_spaces else ' '}])")

    @classmethod
    def train(cls, kind: TokenizerKind, chunks: Iterable[str], *, vocab_size: int) -> Self:
        """Learn a vocabulary of `vocab_size`; in a lossless one 256 are bytes and one is unused.

        Args:
            chunks: of the text; read twice, so no iterator.

        Raises:
            InfeasibleError: the text does not yield that many, or needs more.
            MachineError: this SentencePiece would leave out part of the text.
        """
        model, trained_bytes = _train(chunks, kind, vocab_size, {**COMMON, **cls.options})
        return cls(kind, model, trained_bytes=trained_bytes)

    def encode(self, text: str) -> TokenArray:
        """The pieces of each sentence, and the bytes of what no piece can stand for."""
        ids: list[int] = []
        for index, part in enumerate(self._spelled.split(text)):
            ids += self._bytes(part) if index % 2 else self._pieces(part)
        return np.array(ids, dtype=self.dtype)

    def files(self) -> Mapping[str, bytes]:
        """SentencePiece's model, and how much text it was trained on."""
        fields = to_json(kind=self.kind, trained_bytes=self._trained_bytes)
        return {JSON_FILE: fields, MODEL_FILE: self._model}

    def _pieces(self, text: str) -> Iterator[int]:
        found = self._processor.Encode(sentences(text), out_type=int, num_threads=1)
        return chain.from_iterable(found)

    def _bytes(self, text: str) -> list[int]:
        return [self._processor.PieceToId(f"<0x{byte:02X}>") for byte in text.encode()]

    def _piece_bytes(self, token: int) -> bytes:
        piece = self._processor.IdToPiece(token)
        if self._processor.IsByte(token):
            return bytes([int(piece[3:5], 16)])  # "<0x0A>"
        if self._processor.IsUnknown(token) or self._processor.IsControl(token):
            return b""
        return piece.replace(SPACE_MARK, " ").encode()


def sentences(text: str) -> list[str]:
    """The text in pieces of a line or less, each short enough for the trainer; joined, the text.

    A longer line is cut before a space where it has one: no word is cut.
    """
    return SENTENCE.findall(text)


def _train(
    chunks: Iterable[str], kind: str, vocab_size: int, options: Mapping[str, Any]
) -> tuple[bytes, int]:
    """A SentencePiece model, and the bytes of text that it was trained on."""
    reserved = re.compile(f"[{re.escape(''.join(_reserved(chunks, options)))}]")
    model = io.BytesIO()
    n_bytes = 0

    def lines() -> Iterator[str]:
        nonlocal n_bytes
        for text in chunks:
            n_bytes += len(text.encode())
            for sentence in sentences(text):
                yield from filter(None, reserved.split(sentence.removesuffix("\n")))

    try:
        spm.SentencePieceTrainer.Train(
            sentence_iterator=lines(),
            model_writer=model,
            model_type=kind.removeprefix("original-"),
            vocab_size=vocab_size,
            **options,
        )
    except (RuntimeError, ValueError) as error:
        raise _refusal(str(error), kind, vocab_size) from error
    return model.getvalue(), n_bytes


def _reserved(chunks: Iterable[str], options: Mapping[str, Any]) -> set[str]:
    """The characters of the text that no line may have, or the trainer would leave it out."""
    characters = set().union(*chunks) - {"\n"}
    skipped = left_out([*characters, LONGEST_SENTENCE], options)
    if LONGEST_SENTENCE in skipped:
        raise MachineError(
            f"SentencePiece must train on lines of {len(LONGEST_SENTENCE.encode())} bytes but "
            f"{spm.__version__} leaves them out: install another version"
        )
    return skipped | {SPACE_MARK}


def _refusal(message: str, kind: str, vocab_size: int) -> InfeasibleError:
    """What SentencePiece's message means to a person."""
    if high := re.search(r"size too high .*<= (\d+)", message):
        rule = f"at most {high[1]} on this text"
    elif low := re.search(r"smaller than required_chars\. \d+ vs (\d+)", message):
        rule = f"at least {low[1]} on this text"
    else:
        rule = f"one that SentencePiece can learn from this text ({message.strip()})"
    return InfeasibleError(
        f"vocab_size of the {kind} tokenizer must be {rule} but got {vocab_size}"
    )
