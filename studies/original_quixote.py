"""What did the Don Quixote notebook's GPT learn, measured on its whole validation text?

Its tokenizer drops newlines and has seen the validation text, so its bits per byte are flagged and
not to be compared with any other study's. Its pieces hang on SentencePiece's version: where they
are not the notebook's, the runs are flagged, and their tag `notebook` says what differs.
"""

from bench.spec import Study, Trial
from gpt.config import RunConfig
from gpt.presets import ORIGINAL_QUIXOTE


def cell(trial: Trial) -> RunConfig:  # noqa: ARG001
    return ORIGINAL_QUIXOTE


study = Study(cell)
