"""The tokenizer of the Don Quixote notebook, for its reproduction alone: it loses text.

SentencePiece unigram with its defaults: compatibility characters are folded, newlines become
spaces, runs of white space become one, and a space is put in front. It is trained on the whole
text, as the notebook's was, so the validation part leaks into it.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from gpt.tokenizers.base import TokenArray
from gpt.tokenizers.sentencepiece import SentencePieceTokenizer


class OriginalUnigramTokenizer(SentencePieceTokenizer):
    """Lossy: its runs are flagged, and never ranked with lossless ones."""

    lossless = False
    options: ClassVar[Mapping[str, Any]] = {
        "character_coverage": 1.0,
        "pad_id": 3,
        "num_threads": 16,  # the default: the order of the sums decides about some pieces
    }

    def encode(self, text: str) -> TokenArray:
        """The pieces of each line: the space in front of each stands for the newline before."""
        return np.fromiter(self._pieces(text), dtype=self.dtype)

    def decode_bytes(self, ids: npt.ArrayLike) -> bytes:
        """What is left of the text, without the space in front."""
        text: str = self._processor.Decode(self.checked(ids).tolist())
        return text.encode()
