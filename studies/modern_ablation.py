"""What is each habit of the modern recipe worth?

The recipe whole, and with one switch at a time set back to what nanoGPT does. Each run gets the
same number of tokens; what a habit costs in time is beside it.
"""

from bench.spec import Study, Trial, choose
from gpt.config import RunConfig
from gpt.presets import MODERN

WITHOUT: dict[str, dict[str, str]] = {
    "nothing": {},
    "rotary": {"position": "learned"},
    "rmsnorm": {"norm": "layernorm"},
    "qk_norm": {"qk_norm": "False"},
    "relu2": {"activation": "gelu"},
    "zero_projections": {"init": "gpt2"},
    "untied_head": {"tied_head": "True"},
    "muon": {"optimizer": "adamw", "learning_rate": "1e-3"},
    "linear_decay": {"schedule": "cosine"},
    "bfloat16": {"dtype": "float32"},
}
"""What is taken away -> what is set instead, as for `--set`."""


def cell(trial: Trial) -> RunConfig:
    return MODERN.override(WITHOUT[choose(trial, "without", list(WITHOUT))])


study = Study(cell)
