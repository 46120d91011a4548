"""Which integers stand for a text, and which text do they stand for?"""

from gpt.tokenizers.base import TokenArray, Tokenizer
from gpt.tokenizers.train import load_or_train_tokenizer, load_tokenizer, train_tokenizer

__all__ = [
    "TokenArray",
    "Tokenizer",
    "load_or_train_tokenizer",
    "load_tokenizer",
    "train_tokenizer",
]
