"""All settings of a run, as frozen dataclasses that are checked when they are made.

Nothing in this package imports torch, so that studies load and `--plan` answers at once.
"""

from gpt.config.corpus import CorpusConfig
from gpt.config.model import KernelName, ModelConfig
from gpt.config.optimizer import OptimizerConfig
from gpt.config.run import RunConfig
from gpt.config.tokenizer import SUBWORD, TokenizerConfig, TokenizerKind
from gpt.config.train import Budget, CudaGraph, Device, Dtype, TrainConfig

__all__ = [
    "SUBWORD",
    "Budget",
    "CorpusConfig",
    "CudaGraph",
    "Device",
    "Dtype",
    "KernelName",
    "ModelConfig",
    "OptimizerConfig",
    "RunConfig",
    "TokenizerConfig",
    "TokenizerKind",
    "TrainConfig",
]
