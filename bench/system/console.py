"""A console that prints text as it stands: what a user named is never read as markup.

Rich would read `data[old].txt` as `data` in a style called "old", and `:smile:` as a face.
"""

import sys

from rich.console import Console


def open_console(
    *, width: int | None = None, stderr: bool = False, always: bool = False
) -> Console:
    """A console without markup, emoji codes and highlighting.

    Args:
        width: columns where the output is not a terminal; None: rich's own guess.
        stderr: print to stderr instead of stdout.
        always: use `width` on a terminal too.
    """
    stream = sys.stderr if stderr else sys.stdout
    return Console(
        stderr=stderr,
        width=None if stream.isatty() and not always else width,
        markup=False,
        emoji=False,
        highlight=False,
    )


def say_seconds(seconds: float) -> str:
    """A duration in the unit in which it has about two digits."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
