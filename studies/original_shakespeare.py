"""What did the Shakespeare notebook's GPT learn, measured on its whole validation text?

A module a head, characters, 10.8 million parameters. The full 1,000 steps take hours on a CPU;
`--set steps=50 --set n_layer=2` shows the beginning of the curve.
"""

from bench.spec import Study, Trial
from gpt.config import RunConfig
from gpt.presets import ORIGINAL_SHAKESPEARE


def cell(trial: Trial) -> RunConfig:  # noqa: ARG001
    return ORIGINAL_SHAKESPEARE


study = Study(cell)
