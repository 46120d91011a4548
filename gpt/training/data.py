"""What does training read? Each split as one memory-mapped array of token ids, and random windows.

A text is encoded once, in a stream, and kept in the cache under the digests of corpus and
tokenizer. A tokenizer that claims to be lossless must give the held-out text back, and account for
every byte of the training text, or it is refused before anything is trained on it.
"""

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from gpt.cache import entry, key_of
from gpt.corpora import Corpus, Split
from gpt.errors import DataError
from gpt.tokenizers import TokenArray, Tokenizer

METADATA_FILE = "metadata.json"

RECIPE = 3
"""Part of every key: raise it when the same text and tokenizer come to give other ids."""

MOST_BYTES_ON_GPU = 1 << 30
"""A longer text stays in the host's memory, and its batches are copied over."""


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


def moved_if_small(tokens: TokenArray, device: torch.device) -> TokenArray | torch.Tensor:
    """A split (N,) where batches are gathered fastest: on a GPU, if it takes little memory."""
    if device.type != "cuda" or 4 * tokens.size > MOST_BYTES_ON_GPU:
        return tokens
    return torch.from_numpy(tokens.astype(np.int32)).to(device)


def sample_batch(
    tokens: TokenArray, block_size: int, batch_size: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Random windows (B, T) and the same windows one token later (B, T), as int64.

    Where a window starts is drawn as a fraction of the text, so that one seed visits the same
    parts of the text whatever the tokenizer.
    """
    x, y = sample_batches(tokens, block_size, batch_size, 1, generator)
    return x[0], y[0]


def sample_batches(
    tokens: TokenArray | torch.Tensor,
    block_size: int,
    batch_size: int,
    n: int,
    generator: torch.Generator,
) -> tuple[torch.Tensor, torch.Tensor]:
    """What `n` calls of `sample_batch` would give, stacked (n, B, T), in one gather.

    Args:
        tokens: (N,) the split; a tensor is gathered on its own device.
    """
    n_offsets = len(tokens) - block_size
    if n_offsets <= 0:
        raise DataError(
            f"a split must be longer than block_size but got {len(tokens)} tokens and {block_size}"
        )
    fractions = torch.rand(n, batch_size, dtype=torch.float64, generator=generator)
    offsets = (fractions * n_offsets).long()  # (n, B)
    if isinstance(tokens, torch.Tensor):
        window = torch.arange(block_size + 1, device=tokens.device)
        gathered = tokens[offsets.to(tokens.device)[..., None] + window].long()
    else:
        windows = offsets.numpy()[..., None] + np.arange(block_size + 1)  # (n, B, T + 1)
        gathered = torch.from_numpy(tokens[windows].astype(np.int64))
    return gathered[..., :-1].contiguous(), gathered[..., 1:].contiguous()


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
