"""What is each habit of the modern recipe worth?

The recipe whole, and with one switch at a time set back to what nanoGPT does. Each run gets the
same number of tokens; what a habit costs in time is beside it.
"""

from bench.spec import Study, Trial, choose
from gpt.config import RunConfig
from gpt.presets import MODERN

RECIPES: dict[str, dict[str, str]] = {
    "the whole recipe": {},
    "without rotary": {"position": "learned"},
    "without rmsnorm": {"norm": "layernorm"},
    "without qk_norm": {"qk_norm": "False"},
    "without relu2": {"activation": "gelu"},
    "without zero_projections": {"init": "gpt2"},
    "without untied_head": {"tied_head": "True"},
    "without muon": {"optimizer": "adamw", "learning_rate": "1e-3"},
    "without linear_decay": {"schedule": "cosine"},
    "without bfloat16": {"dtype": "float32"},
}
"""Name -> what is set instead of the recipe's own habit, as for `--set`."""


def cell(trial: Trial) -> RunConfig:
    return MODERN.override(RECIPES[choose(trial, "recipe", list(RECIPES))])


study = Study(cell)
