"""How a command says what its user should know though it is no error: `note: …` on stderr."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import click


@contextmanager
def noted_warnings() -> Iterator[None]:
    """Print our own warnings in the block as notes, each once, when it ends."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        try:
            yield
        finally:
            for note in dict.fromkeys(str(w.message) for w in caught if w.category is UserWarning):
                click.echo(f"note: {note}", err=True)
