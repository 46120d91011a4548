"""Does the reproduction of the Don Quixote notebook cut its text as the notebook did?

SentencePiece's versions cut one text otherwise: 0.1.99 to 0.2.1 give the notebook's ids to the
letter, 0.2.3 does not. So what came out is compared with what the notebook printed.
"""

from collections.abc import Sequence

import sentencepiece as spm

from gpt.corpora.download import SOURCES
from gpt.tokenizers.original import OriginalUnigramTokenizer
from gpt.training.setup import Text

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


def against_notebook(text: Text) -> str | None:
    """How a reproduction's pieces differ from the notebook's, in one line, and "" if they don't;
    None: this is no reproduction."""
    tokenizer, tokens = text.tokenizer, text.encoded.train
    is_its_text = text.corpus.digest == SOURCES["don_quixote"].sha256
    if not isinstance(tokenizer, OriginalUnigramTokenizer) or not is_its_text:
        return None
    if tokenizer.vocab_size != VOCAB_SIZE:
        return None
    n_tokens = len(tokens) + len(text.encoded.val)
    return difference_from_notebook(tokenizer, tokens[:20].tolist(), n_tokens)


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
