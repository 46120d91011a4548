"""The systems that the suite grew from, as configs. Their quirks are kept, and named.

Losses compare with the originals'; the texts that they sample don't repeat, for batches are drawn
in another order.
"""

from dataclasses import replace

from gpt.config import (
    Budget,
    CorpusConfig,
    ModelConfig,
    OptimizerConfig,
    RunConfig,
    TokenizerConfig,
    TrainConfig,
)


def original_optimizer(learning_rate: float) -> OptimizerConfig:
    """torch's AdamW as it comes: a constant rate, decay on every weight, and no clipping."""
    return OptimizerConfig(
        learning_rate=learning_rate,
        schedule="constant",
        warmup_fraction=0.0,
        weight_decay=0.01,
        decay_all=True,
        beta1=0.9,
        beta2=0.999,
        grad_clip=0.0,
    )


ORIGINAL_MODEL = ModelConfig(
    attention="per_head",
    attention_scale="n_embd",  # quirk: the scale counts all channels, not those of a head
    activation="relu",
    bias=True,
    qkv_bias=False,
    embedding_dropout=False,
    init="torch",
)
"""What both originals share: a module a head, biases except on q, k and v, torch's own init."""


ORIGINAL_SHAKESPEARE = RunConfig(
    corpus=CorpusConfig(name="tinyshakespeare"),
    tokenizer=TokenizerConfig(kind="char", byte_fallback=False),
    model=replace(
        ORIGINAL_MODEL,
        block_size=256,
        n_layer=6,
        n_head=6,
        n_embd=384,
        dropout=0.2,
        final_norm="unused",  # quirk: made, handed to the optimizer, never applied
    ),
    optimizer=original_optimizer(learning_rate=1e-3),  # quirk: its parameter list says 3e-4
    train=TrainConfig(
        budget=Budget(steps=1000),
        batch_size=64,
        log_interval=2,
        # The original estimated its losses every second step, for a live plot. Here each estimate
        # comes with a whole-split evaluation, 500 of which would cost more than the training.
        evaluations=20,
        val_part_bytes=None,
        estimate_batches=1,  # quirk: a single batch, mostly noise
        sample_tokens=500,
    ),
)
"""The first original: a 10.8-million-parameter GPT on the characters of Shakespeare.

It ran on MPS, or else on the CPU; `auto` does too, and takes CUDA where there is one.
"""


ORIGINAL_QUIXOTE = RunConfig(
    corpus=CorpusConfig(name="don_quixote"),
    # quirk: SentencePiece with its defaults loses newlines and has seen the validation text
    tokenizer=TokenizerConfig(kind="original-unigram", vocab_size=4000),
    model=replace(ORIGINAL_MODEL, dropout=0.3),
    optimizer=original_optimizer(learning_rate=3e-4),
    train=TrainConfig(
        budget=Budget(steps=5000),
        batch_size=32,
        evaluations=10,
        val_part_bytes=None,
        estimate_batches=200,
    ),
)
"""The second original: a GPT on Don Quixote in 4,000 SentencePiece tokens."""


BIGRAM = RunConfig(
    corpus=ORIGINAL_QUIXOTE.corpus,
    tokenizer=ORIGINAL_QUIXOTE.tokenizer,
    model=ModelConfig(kind="bigram"),
    optimizer=original_optimizer(learning_rate=1e-3),
    train=TrainConfig(
        budget=Budget(steps=1000), batch_size=32, evaluations=4, val_part_bytes=None
    ),
)
"""The lookup table from which the second original started.

Its table there was normal(1), for a first loss of 8.81; `init="gpt2"` makes it normal(0.02), for
the ln 4000 = 8.29 that the notebook expected.
"""


NANOGPT = RunConfig(
    corpus=CorpusConfig(name="tinyshakespeare"),
    tokenizer=TokenizerConfig(kind="char", byte_fallback=False),
    model=ModelConfig(tied_head=True),
    train=TrainConfig(evaluations=8, val_part_bytes=None),
)
"""nanoGPT's recipe for a CPU (https://github.com/karpathy/nanoGPT, "I only have a macbook"), from
which the configs have their defaults: shape, init, optimizer, schedule, batch and budget.

Its validation loss there is 1.88 nats a character, estimated on 20 batches.
"""


MODERN = RunConfig(
    corpus=NANOGPT.corpus,
    tokenizer=NANOGPT.tokenizer,
    model=ModelConfig(
        position="rotary",
        norm="rmsnorm",
        qk_norm=True,
        activation="relu2",
        init="zero_projections",
        kernel="auto",
        loss_head="chunked",
    ),
    optimizer=OptimizerConfig(
        kind="muon",
        learning_rate=4e-3,
        adamw_multiplier=3.0,
        fused=True,
        schedule="linear",
        final_fraction=0.05,
    ),
    train=TrainConfig(budget=Budget(steps=300), dtype="auto", cuda_graph="auto"),
)
"""nanoGPT's shape with what is known to learn fastest now, each habit a switch of its own.

Rotary positions, RMSNorm, QK-norm, ReLU², zero-initialised projections, and Muon for the matrices
(the "speedrun" recipe: https://github.com/KellerJordan/modded-nanogpt), computed by the fastest
means of the machine. Its 300 steps end at 1.87 nats a character, nanoGPT's 2,000 at 1.91, both
over the whole validation text.
"""


PRESETS: dict[str, RunConfig] = {
    "original-shakespeare": ORIGINAL_SHAKESPEARE,
    "original-quixote": ORIGINAL_QUIXOTE,
    "bigram": BIGRAM,
    "nanogpt": NANOGPT,
    "modern": MODERN,
}
