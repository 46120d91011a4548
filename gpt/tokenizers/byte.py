"""A token is a byte of the text's UTF-8. Nothing to train, nothing unseen, V = 256.

"é" is two tokens: [195, 169].
"""

from collections.abc import Mapping

import numpy as np

from gpt.tokenizers.base import JSON_FILE, TokenArray, Tokenizer, to_json


class ByteTokenizer(Tokenizer):
    """The 256 bytes, each its own id."""

    def __init__(self) -> None:
        super().__init__("byte", [bytes([byte]) for byte in range(256)])

    def encode(self, text: str) -> TokenArray:
        """The bytes of the text."""
        return np.frombuffer(text.encode(), dtype=np.uint8).astype(self.dtype)

    def files(self) -> Mapping[str, bytes]:
        """The kind says it all."""
        return {JSON_FILE: to_json(kind=self.kind)}
