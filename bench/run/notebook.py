"""Does the reproduction of the Don Quixote notebook tokenize its text as the notebook did?

Versions of SentencePiece split the same text differently: 0.1.99 to 0.2.1 give exactly the
notebook's ids, 0.2.3 does not. So the ids are compared with those that the notebook printed.
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
"""The ids of that sentence."""

PRINTED_START = [
    *(1078, 266, 503, 461, 2299, 13, 18, 299, 13, 18, 547, 2097, 194, 214, 163, 45, 2208, 248),
    *(341, 248),
]
"""The first ids of the text."""

PRINTED_LENGTH = 425_906
"""Tokens of the whole text, which the notebook split after encoding; two texts give two more."""


def against_notebook(text: Text) -> str | None:
    """How the pieces of a reproduction differ from the notebook's, in one line; "" if they don't;
    None if this is not a reproduction."""
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
        f"SentencePiece {spm.__version__} found different pieces: {SENTENCE!r} is {found}, in the "
        f"notebook {PRINTED_IDS}; the text has {n_tokens:,} tokens, in the notebook "
        f"{PRINTED_LENGTH:,}"
    )
