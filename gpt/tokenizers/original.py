"""The tokenizer of the Don Quixote notebook, for its reproduction alone: it loses text.

SentencePiece unigram with its defaults: compatibility characters are folded, newlines become
spaces, runs of white space become one, and a space is put in front. It is trained on the whole
text, as the notebook's was, so the validation part leaks into it.

SentencePiece's versions cut one text otherwise: 0.1.99 to 0.2.1 give the notebook's ids to the
letter, 0.2.3 does not. So what came out is held against what the notebook printed.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import sentencepiece as spm

from gpt.tokenizers.base import TokenArray
from gpt.tokenizers.sentencepiece import SentencePieceTokenizer

VOCAB_SIZE = 4000
"""The notebook's."""

SENTENCE = "hello fellas"
PRINTED_IDS = [14, 187, 101, 634, 209]
"""Of that sentence."""

PRINTED_START = [
    *(1078, 266, 503, 461, 2299, 13, 18, 299, 13, 18, 547, 2097, 194, 214, 163, 45, 2208, 248),
    *(341, 248),
]
"""Of the text."""

PRINTED_LENGTH = 425_906
"""Tokens of the whole text, which was cut in two as tokens: as two texts they are two more."""


class OriginalUnigramTokenizer(SentencePieceTokenizer):
    """Lossy: its runs are flagged, and never ranked with lossless ones."""

    lossless = False
    options: ClassVar[Mapping[str, Any]] = {
        "character_coverage": 1.0,
        "pad_id": 3,
        "num_threads": 16,  # the default, on which the last digits of its sums hang
    }

    def encode(self, text: str) -> TokenArray:
        """The pieces of each line: the space in front of each stands for the newline before."""
        return np.fromiter(self._pieces(text), dtype=self.dtype)

    def decode_bytes(self, ids: npt.ArrayLike) -> bytes:
        """What is left of the text, without the space in front."""
        text: str = self._processor.Decode(self.checked(ids).tolist())
        return text.encode()


def difference_from_notebook(
    tokenizer: OriginalUnigramTokenizer, start: Sequence[int], n_tokens: int
) -> str:
    """What differs from the ids that the notebook printed, in one line; "" if nothing does.

    Args:
        tokenizer: trained on the notebook's text.
        start: the text's first ids.
        n_tokens: how many tokens it has.
    """
    found = tokenizer.encode(SENTENCE).tolist()
    if found == PRINTED_IDS and list(start[: len(PRINTED_START)]) == PRINTED_START:
        return ""
    return (
        f"SentencePiece {spm.__version__} found other pieces: {SENTENCE!r} is {found}, in the "
        f"notebook {PRINTED_IDS}; the text has {n_tokens:,} tokens, in the notebook "
        f"{PRINTED_LENGTH:,}"
    )
