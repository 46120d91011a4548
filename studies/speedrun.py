"""Which recipe is first at 1.88 nats a character on tinyshakespeare?

That is where nanoGPT's recipe for a CPU ends after 2,000 steps. A run stops at the first
evaluation over the whole validation text that is there; evaluations don't count. Run it with
`--workers 1` on a machine that does nothing else.
"""

from dataclasses import replace

from bench.spec import Study, Trial, choose
from gpt.config import RunConfig
from gpt.presets import MODERN, NANOGPT

TARGET_NATS_PER_CHARACTER = 1.88

RECIPES = {"nanogpt": NANOGPT, "modern": MODERN}


def cell(trial: Trial) -> RunConfig:
    recipe = RECIPES[choose(trial, "recipe", list(RECIPES))]
    train = replace(recipe.train, target_loss=TARGET_NATS_PER_CHARACTER, evaluations=20)
    return recipe.replace(train=train)


study = Study(cell, metric="seconds_to_target")
