"""Does our GPT learn like nanoGPT on a CPU?

Its recipe for a CPU: 2,000 steps of 12 blocks of 64 characters, for a validation loss of 1.88 nats
a character on tinyshakespeare. Ours is measured on the whole validation text, not on samples.
"""

from bench.spec import Study, Trial
from gpt.config import RunConfig
from gpt.presets import NANOGPT


def cell(trial: Trial) -> RunConfig:  # noqa: ARG001
    return NANOGPT


study = Study(cell)
