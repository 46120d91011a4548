"""The tokenizer that a recorded run left among its files; needs no torch."""

from pathlib import Path

from bench.record.reading import artifact
from gpt.errors import ConfigError, DataError
from gpt.tokenizers import TokenArray, Tokenizer, load_tokenizer

FILES = ("tokenizer/tokenizer.json", "tokenizer/tokenizer.model")
"""The second is of subword tokenizers alone."""


def load_saved_tokenizer(run_id: str, folder: Path = Path()) -> Tokenizer:
    """The tokenizer of a recorded run.

    Args:
        folder: where it was run.

    Raises:
        DataError: it is missing or damaged.
        MachineError: the store does not answer.
    """
    found, *_ = [artifact(run_id, name, folder) for name in FILES]
    if found is None:
        raise DataError(f"run {run_id} must have {FILES[0]} among its files but has not")
    try:
        return load_tokenizer(found.parent)
    except DataError as error:
        raise DataError(
            f"the tokenizer of run {run_id} must be whole but can't be read from {found.parent}"
        ) from error


def encode_typed(tokenizer: Tokenizer, text: str) -> TokenArray:
    """The ids of a text that was typed.

    Raises:
        ConfigError: the tokenizer lacks a character, or what was typed is no text.
    """
    refuse_no_text(text)
    try:
        return tokenizer.encode(text)
    except DataError as error:
        raise ConfigError(str(error).partition("\n")[0]) from error


def refuse_no_text(text: str) -> None:
    """Raise `ConfigError` if what was typed is not UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ConfigError(f"a text must be UTF-8 but got {text!a}") from None
