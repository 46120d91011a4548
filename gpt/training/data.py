"""What does training read? Each split of a text as one memory-mapped array of token ids.

A text is encoded once, in a stream, and kept in the cache under the digests of corpus and
tokenizer. A tokenizer that claims to be lossless must give the held-out text back, and account for
every byte of the training text, or it is refused before anything is trained on it.
"""

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from gpt.cache import entry, key_of
from gpt.corpora import Corpus, Split
from gpt.errors import DataError
from gpt.tokenizers import TokenArray, Tokenizer

METADATA_FILE = "metadata.json"

RECIPE = 3
"""Part of every key: raise it when the same text and tokenizer come to give other ids."""


@dataclass(frozen=True, eq=False)
class EncodedCorpus:
    """A corpus in the ids of one tokenizer, mapped into memory read-only."""

    train: TokenArray
    """Ids of the training part."""

    val: TokenArray
    """Ids of the held-out part."""

    train_bytes: int
    """Bytes of the raw training text, the same for every tokenizer."""

    val_bytes: int
    """Bytes of the raw held-out text, the denominator of bits per byte."""

    round_trip: bool
    """Whether decoding gave all held-out text back; False only for a lossy tokenizer."""

    test: TokenArray | None = None
    """Ids of the part that a sweep never looks at, where the corpus has one."""

    test_bytes: int = 0
    """Bytes of the raw test text; 0 where there is none."""

    @property
    def bytes_per_token(self) -> float:
        """Average bytes of training text in a token."""
        return self.train_bytes / len(self.train)

    def require_longer_than(self, block_size: int) -> None:
        """Raise `DataError` unless each split has a window of `block_size` and a next token."""
        parts = [part for part in (self.train, self.val, self.test) if part is not None]
        if min(map(len, parts)) <= block_size:
            raise DataError(
                f"each split must be longer than block_size {block_size} but the training part "
                f"has {len(self.train)} tokens and the held-out part "
                f"{min(map(len, parts[1:]))}: "
                "give a longer text or a smaller block_size"
            )


def load_or_encode(corpus: Corpus, tokenizer: Tokenizer, cache: Path) -> EncodedCorpus:
    """The encoded corpus from the cache: encoded on the first call, and again if it is damaged.

    Raises `DataError` if the tokenizer loses text that it claims to keep, or refuses it.
    """
    key = key_of(RECIPE, corpus.digest, dict(corpus.splits), tokenizer.digest)
    folder = entry(cache / "encoded" / key, partial(_encode, corpus, tokenizer))
    metadata = json.loads((folder / METADATA_FILE).read_bytes())
    tokens: dict[Split, TokenArray] = {
        split: np.memmap(_ids_file(folder, split), dtype=tokenizer.dtype, mode="r")
        for split in corpus.splits
    }
    n_bytes = {split: span.n_bytes for split, span in corpus.splits.items()}
    return EncodedCorpus(
        train=tokens["train"],
        val=tokens["val"],
        test=tokens.get("test"),
        train_bytes=n_bytes["train"],
        val_bytes=n_bytes["val"],
        test_bytes=n_bytes.get("test", 0),
        round_trip=metadata["round_trip"],
    )


def _encode(corpus: Corpus, tokenizer: Tokenizer, folder: Path) -> None:
    written = {split: _write(corpus, split, tokenizer, folder) for split in corpus.splits}
    round_trip = all(holds for split, holds in written.items() if split != "train")
    (folder / METADATA_FILE).write_text(json.dumps({"round_trip": round_trip}), "utf-8")


def _write(corpus: Corpus, split: Split, tokenizer: Tokenizer, folder: Path) -> bool:
    """Write the ids of a split. Returns whether they hold the text."""
    n_tokens, holds = 0, True
    with _ids_file(folder, split).open("wb") as file:
        for text in corpus.chunks(corpus.split(split)):
            ids = tokenizer.encode(text)
            file.write(ids.tobytes())
            n_tokens += len(ids)
            holds = holds and _holds(ids, text, tokenizer, split)
            if tokenizer.lossless and not holds:
                raise _loss(ids, text, tokenizer)
    if n_tokens == 0:
        raise DataError(
            f"each split must have tokens but {corpus.name}'s {split} part has none for a "
            f"{tokenizer.kind} tokenizer: give a longer text"
        )
    return holds


def _holds(ids: TokenArray, text: str, tokenizer: Tokenizer, split: Split) -> bool:
    """Whether decoding gives the text back; of the training part only the bytes are counted."""
    if split == "train":
        return int(tokenizer.token_lengths[ids].sum()) == len(text.encode())
    return tokenizer.decode(ids) == text


def _loss(ids: TokenArray, text: str, tokenizer: Tokenizer) -> DataError:
    decoded = tokenizer.decode(ids)
    pairs = enumerate(zip(text, decoded, strict=False))
    same = next((i for i, (a, b) in pairs if a != b), min(len(text), len(decoded)))
    around = slice(max(0, same - 10), same + 10)
    return DataError(
        f"a {tokenizer.kind} tokenizer must give the text back but decoding {text[around]!r} gave "
        f"{decoded[around]!r}: use another tokenizer"
    )


def _ids_file(folder: Path, split: Split) -> Path:
    return folder / f"{split}.bin"
