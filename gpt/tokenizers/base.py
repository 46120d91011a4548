"""What is a tokenizer? A list of byte strings, one a token, and a way to cut text into them.

Decoding is the same for every kind: look the tokens up and join them. A kind adds how it encodes,
how it is trained, and what is saved of it: JSON and SentencePiece's own model file, never a
pickle. There are no special tokens.
"""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt

from gpt.config.tokenizer import TokenizerKind
from gpt.errors import DataError

TokenArray: TypeAlias = npt.NDArray[np.unsignedinteger[Any]]

JSON_FILE = "tokenizer.json"


class Tokenizer(ABC):
    """A finished tokenizer; it does not change."""

    lossless: ClassVar[bool] = True
    """Whether `decode(encode(text)) == text` for every text that it accepts."""

    def __init__(self, kind: TokenizerKind, tokens: Sequence[bytes]) -> None:
        self.kind = kind
        self._tokens = tuple(tokens)

    @abstractmethod
    def encode(self, text: str) -> TokenArray:
        """The ids of a text, an array of `dtype`."""

    @abstractmethod
    def files(self) -> Mapping[str, bytes]:
        """All that `load_tokenizer` needs, by file name; the JSON file among them."""

    def decode(self, ids: npt.ArrayLike) -> str:
        """The text of ids; U+FFFD where their bytes are not UTF-8, as a model's may well be."""
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    def decode_bytes(self, ids: npt.ArrayLike) -> bytes:
        """The bytes of ids, joined."""
        return b"".join(map(self._tokens.__getitem__, self.checked(ids).tolist()))

    def checked(self, ids: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """`ids` as an array; raises `DataError` if one is not in the vocabulary."""
        array = np.asarray(ids, dtype=np.int64)
        if array.size and not 0 <= array.min() <= array.max() < self.vocab_size:
            raise DataError(
                f"ids must be in [0, {self.vocab_size}) but got {array.min()} to {array.max()}"
            )
        return array

    @property
    def vocab_size(self) -> int:
        """Number of tokens V."""
        return len(self._tokens)

    @property
    def dtype(self) -> np.dtype[np.unsignedinteger[Any]]:
        """The smallest of uint16 and uint32 that holds every id."""
        return np.dtype(np.uint16 if self.vocab_size <= 1 << 16 else np.uint32)

    @cached_property
    def token_lengths(self) -> npt.NDArray[np.int64]:
        """Bytes of each token (V,)."""
        return np.array([len(token) for token in self._tokens], dtype=np.int64)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of what is saved: equal digests, equal tokenizers."""
        sha256 = hashlib.sha256()
        for name, content in sorted(self.files().items()):
            sha256.update(f"{name} {len(content)}\n".encode())
            sha256.update(content)
        return sha256.hexdigest()

    def save(self, folder: Path) -> None:
        """Write the tokenizer's files into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in self.files().items():
            (folder / name).write_bytes(content)


def to_json(**fields: Any) -> bytes:
    """The JSON file of a tokenizer, the same bytes for the same fields."""
    return (json.dumps(fields, indent=1, sort_keys=True) + "\n").encode()
