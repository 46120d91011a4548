"""Where does a model spend its bits? A short validation passage, token by token.

The passage is the same bytes for all lossless tokenizers, so that what they make of it can be laid
side by side.
"""

import json
import math
from dataclasses import asdict, dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from gpt.tokenizers.base import TokenArray, Tokenizer
from gpt.training.setup import Setup

PASSAGE_FILE = "passage.json"
"""Among the files of a run."""

PASSAGE_BYTES = 480
"""About how long it is: it ends with a word, if words are shorter than it is."""

BLOCK = 1 << 20
"""Tokens that are looked at together."""


@dataclass(frozen=True, kw_only=True)
class Passage:
    """A text, and the bits that a model takes for each part of it."""

    text: str
    n_bytes: tuple[int, ...]
    """Bytes of each token; of those at the ends, how many lie in the text."""

    bits_per_byte: tuple[float, ...]
    """Code length of each token in bits, over the bytes of the whole token."""

    @property
    def mean(self) -> float:
        """Bits per byte of the passage."""
        pairs = zip(self.n_bytes, self.bits_per_byte, strict=True)
        return sum(n * bits for n, bits in pairs) / sum(self.n_bytes)

    def to_json(self) -> str:
        """What `from_json` reads."""
        rounded = tuple(round(bits, 4) for bits in self.bits_per_byte)
        return json.dumps(asdict(self) | {"bits_per_byte": rounded}, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Raises `ValueError` or `KeyError` if it is not a passage."""
        fields = json.loads(text)
        return cls(
            text=fields["text"],
            n_bytes=tuple(fields["n_bytes"]),
            bits_per_byte=tuple(fields["bits_per_byte"]),
        )


def passage_of(setup: Setup) -> Passage | None:
    """A passage from the middle of the validation text under a run's model, in its precision.

    Each token sees at least half a block before it. None for a lossy tokenizer, of which no token
    stands for known bytes of the text.
    """
    tokenizer, encoded = setup.text.tokenizer, setup.text.encoded
    if not tokenizer.lossless or len(encoded.val) < 2:
        return None
    middle = encoded.val_bytes // 2
    skipped, tokens, ends = _around(tokenizer, encoded.val, middle)
    begun = max(0, int(np.searchsorted(ends, middle, side="right")) - 1)
    before = int(ends[begun])  # raw begins with the token after that
    raw = tokenizer.decode_bytes(tokens[begun + 1 : begun + 1 + 4 * PASSAGE_BYTES])
    start, stop = (before + place for place in _cut(raw, max(0, middle - before)))
    first = int(np.searchsorted(ends, start, side="right"))
    last = int(np.searchsorted(ends, stop)) + 1
    lengths = tokenizer.token_lengths[tokens[first:last]]
    inside = np.minimum(ends[first:last], stop) - np.maximum(ends[first:last] - lengths, start)
    bits = _bits(setup, skipped + first, skipped + last) / lengths
    return Passage(
        text=raw[start - before : stop - before].decode(),
        n_bytes=tuple(inside.tolist()),
        bits_per_byte=tuple(bits.tolist()),
    )


def _around(
    tokenizer: Tokenizer, tokens: TokenArray, place: int
) -> tuple[int, TokenArray, npt.NDArray[np.int64]]:
    """Some tokens around a byte of a text, which may be too long to look at as a whole.

    Returns how many tokens lie before them, themselves (N,), and the bytes up to each one's end.
    """
    before = 0
    for start in range(0, len(tokens), BLOCK):
        n_bytes = int(tokenizer.token_lengths[tokens[start : start + BLOCK]].sum())
        if before + n_bytes > place:
            break
        before += n_bytes
    around = tokens[start : start + 2 * BLOCK]
    return start, around, before + np.cumsum(tokenizer.token_lengths[around])


def _cut(raw: bytes, middle: int) -> tuple[int, int]:
    """Start and stop of the passage, in bytes of a text that has its middle there.

    It starts after a line end, or else with a whole character; it stops before a white space.
    """
    start = raw.find(b"\n", middle, middle + 2 * PASSAGE_BYTES) + 1
    if not start:
        start = middle
        while start < len(raw) and raw[start] & 0xC0 == 0x80:  # within a character
            start += 1
    stop = min(start + PASSAGE_BYTES, len(raw))
    if stop < len(raw):
        spaces = max(raw.rfind(b" ", start + 1, stop), raw.rfind(b"\n", start + 1, stop))
        stop = spaces if spaces > 0 else stop
        while raw[stop] & 0xC0 == 0x80:
            stop -= 1
    return start, stop


@torch.no_grad()
def _bits(setup: Setup, first: int, last: int) -> npt.NDArray[np.float32]:
    """Bits of the validation tokens [first, last), each after at least half a block."""
    tokens, model, T = setup.text.encoded.val, setup.precision.model, setup.model.block_size
    was_training = model.training
    model.eval()
    bits = []
    for start in range(first, last, max(1, T // 2)):
        stop = min(start + max(1, T // 2), last)
        window = torch.from_numpy(tokens[max(0, stop - 1 - T) : stop].astype(np.int64))
        window = window.to(setup.device)
        with setup.precision.context():
            logits = model(window[None, :-1])[0].float()  # (T, V)
        nats = F.cross_entropy(logits, window[1:], reduction="none")[start - stop :]
        bits += [(nats / math.log(2)).cpu().numpy()]
    model.train(was_training)
    return np.concatenate(bits)
