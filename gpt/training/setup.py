"""From a config to what training needs: the text as tokens, a fresh model, a device.

What a config leaves to the text or the machine is settled here. The settled config is what gets
logged, and it runs the same again.
"""

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import cast

import torch

from gpt.acceleration.kernel_choice import Question, choose_kernel
from gpt.acceleration.precision import Precision
from gpt.attention import KERNELS
from gpt.cache import default_cache
from gpt.config import CudaGraph, Device, KernelName, ModelConfig, RunConfig, TrainConfig
from gpt.corpora import Corpus, load_corpus
from gpt.device import product_dtype, resolve_device
from gpt.errors import ConfigError, InfeasibleError
from gpt.model.gpt import LanguageModel, build_model
from gpt.model.heads import attention_scale
from gpt.tokenizers import Tokenizer, load_or_train_tokenizer
from gpt.training.data import EncodedCorpus, load_or_encode


@dataclass(frozen=True, kw_only=True)
class Text:
    """A corpus, its tokenizer and the tokens that it became."""

    corpus: Corpus
    tokenizer: Tokenizer
    encoded: EncodedCorpus


def load_text(
    config: RunConfig, *, corpora_dir: Path | None = None, cache: Path | None = None
) -> Text:
    """Load, tokenize and encode the text of a run, each made once and then read from the cache.

    Raises:
        DataError: the text can't be used, or is too short for the block.
        InfeasibleError: it can't give the tokenizer its vocabulary.
    """
    cache = cache or default_cache()
    corpus = load_corpus(config.corpus, corpora_dir=corpora_dir, cache=cache)
    tokenizer = load_or_train_tokenizer(config.tokenizer, corpus, cache)
    encoded = load_or_encode(corpus, tokenizer, cache)
    encoded.require_longer_than(resolve_block_size(config, encoded))
    return Text(corpus=corpus, tokenizer=tokenizer, encoded=encoded)


def resolve_block_size(config: RunConfig, encoded: EncodedCorpus) -> int:
    """The context in tokens: as given, or what holds `context_bytes` of text on average."""
    if config.model.context_bytes is None:
        return config.model.block_size
    return max(1, round(config.model.context_bytes / encoded.bytes_per_token))


@dataclass(frozen=True, kw_only=True)
class Setup:
    """All that a run of training needs; `model` is trained in place."""

    config: RunConfig
    """The config with block size, device, precision, CUDA graph and attention kernel settled."""

    text: Text
    model: LanguageModel
    device: torch.device

    @cached_property
    def precision(self) -> Precision:
        """How `model` computes."""
        train = self.config.train
        return Precision(self.model, train.dtype, self.device, compiled=train.compile)

    def in_float32(self) -> "Setup":
        """A copy with the same weights that computes in float32, uncompiled, and with torch's own
        attention kernel, because the run's may not exist in float32."""
        model, train = self.config.model, self.config.train
        config = self.config.replace(
            model=dataclasses.replace(model, kernel="sdpa"),
            train=dataclasses.replace(train, dtype="float32", compile=False, cuda_graph="off"),
        )
        with torch.random.fork_rng(devices=[]):
            copy = build_model(config.model, self.model.vocab_size)
        copy.load_state_dict(self.model.state_dict())
        return dataclasses.replace(self, config=config, model=copy.to(self.device))


def set_up(
    config: RunConfig, *, corpora_dir: Path | None = None, cache: Path | None = None
) -> Setup:
    """Settle the config on this text and machine, and build the model from the seed.

    Raises:
        DataError, InfeasibleError: as `load_text` and `settle_on`.
        MachineError: the device is not there.
        ConfigError: the block size in bytes leaves no room for the evaluation's stride.
    """
    device = resolve_device(config.train.device)
    text = load_text(config, corpora_dir=corpora_dir, cache=cache)
    block_size = resolve_block_size(config, text.encoded)
    stride = config.train.eval_stride
    if stride is not None and stride > block_size:
        raise ConfigError(f"eval_stride must not exceed block_size but got {stride}, {block_size}")
    sized = config.replace(model=dataclasses.replace(config.model, block_size=block_size))
    settled = settle_on(device, sized, cache=cache or default_cache())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.train.seed)
        model = build_model(settled.model, text.tokenizer.vocab_size)
    return Setup(config=settled, text=text, model=model.to(device), device=device)


def settle_on(device: torch.device, config: RunConfig, *, cache: Path) -> RunConfig:
    """The config with what it leaves to the machine settled: device, precision, kernel and graph.

    Raises:
        InfeasibleError: this device can't train with the kernel, the precision or the CUDA graph.
    """
    train = dataclasses.replace(config.train, device=cast(Device, device.type))
    if train.dtype == "auto":
        fast_bfloat16 = product_dtype(device) is torch.bfloat16
        train = dataclasses.replace(train, dtype="bfloat16" if fast_bfloat16 else "float32")
    train = dataclasses.replace(train, cuda_graph=resolve_cuda_graph(train, config.model, device))
    settled = config.replace(train=train)
    kernel = resolve_kernel(settled, device, cache=cache)
    return settled.replace(model=dataclasses.replace(settled.model, kernel=kernel))


def resolve_cuda_graph(train: TrainConfig, model: ModelConfig, device: torch.device) -> CudaGraph:
    """Whether a step is captured: as given, or for `auto` wherever it can be.

    Raises:
        InfeasibleError: `on` was requested, and the step can't be captured.
    """
    reason, model = None, model.canonical()
    if device.type != "cuda":
        reason = f"a {device.type} device has no CUDA graphs"
    elif train.dtype == "float16":
        reason = "in float16 the CPU decides after each step whether to keep it"
    elif model.dropout > 0 and model.kernel != "auto" and KERNELS[model.kernel].seeds_dropout:
        reason = f"the kernel {model.kernel} would drop the same at each launch"
    if train.cuda_graph == "on" and reason is not None:
        raise InfeasibleError(
            f"cuda_graph='on' was requested, but this run can't be captured: {reason}"
        )
    return "off" if reason is not None or train.cuda_graph == "off" else "on"


def resolve_kernel(config: RunConfig, device: torch.device, *, cache: Path) -> KernelName:
    """The attention kernel as given, if it can train here; for `auto` the fastest right one.

    A model with a module a head has its own, and a bigram model none: nothing is asked.

    Raises:
        InfeasibleError: the kernel given can't do it, or none can.
    """
    model, dtype = config.model, config.train.dtype
    if model.kind == "bigram" or model.attention == "per_head":
        return model.canonical().kernel
    if model.kernel == "auto":
        question = Question(
            dtype=dtype,
            B=config.train.batch_size,
            H=model.n_head,
            T=model.block_size,
            D=model.head_size,
            scale=attention_scale(model),
            dropout_p=model.dropout,
            captured=config.train.cuda_graph == "on",
        )
        return cast(KernelName, choose_kernel(question, device, cache=cache).kernel)
    reason = KERNELS[model.kernel].unavailable(
        device, getattr(torch, dtype), head_size=model.head_size, dropout_p=model.dropout
    )
    if reason is not None:
        raise InfeasibleError(f"kernel must train on this {device.type} device but {reason}")
    return model.kernel
