"""What does a recorded run's model write after a prompt?"""

from pathlib import Path

from bench.results.saved import load_saved, run_id_of
from bench.results.saved_tokenizer import encode_typed
from gpt.errors import ConfigError
from gpt.generate import generate


def sample(
    run: str,
    cell: str | None,
    prompt: str,
    *,
    n_tokens: int,
    temperature: float,
    top_k: int | None,
    seed: int,
    folder: Path = Path(),
) -> str:
    """The prompt and what follows it, as the model reads and writes them.

    Each token sees at least half a block. Arguments as for `run_id_of` and `generate`.

    Raises:
        ConfigError: there is no such run, or the prompt is empty or can't be cut into tokens.
        DataError: the run's files are missing or damaged.
    """
    if not prompt:
        raise ConfigError("a prompt must hold at least one character but got none")
    run_id, folder = run_id_of(run, cell, folder)
    saved = load_saved(run_id, folder)
    tokens = [int(token) for token in encode_typed(saved.tokenizer, prompt)]
    written = generate(
        saved.model,
        tokens,
        n_tokens,
        seed=seed,
        temperature=temperature,
        top_k=top_k,
        keep=max(1, saved.model.block_size // 2),
    )
    return saved.tokenizer.decode([*tokens, *written])
