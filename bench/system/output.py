"""How a command writes the file that it was asked for, so that nothing else is lost.

A file is replaced when the new one is whole; a link stays one, and what is no file, such as a pipe
or a device, is written into. The folder has to be there: a slip in its name makes no other one.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import click

from gpt.cache import atomic
from gpt.errors import MachineError


class _Unnamed(click.ClickException):
    exit_code = 2


class NamedPath(click.Path):
    """A path of the command line; the empty one, which would be this folder, is refused."""

    def __init__(self, **options: Any) -> None:
        super().__init__(path_type=Path, **options)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path."""
        if os.fspath(value) == "":  # a variable of the shell that is not set
            name = param.opts[-1] if param else "a path"
            raise _Unnamed(f"{name} must name something but got ''")
        return super().convert(value, param, ctx)


def is_stdout(path: Path) -> bool:
    """Whether a path is `-`, or names what stdout goes to."""
    with suppress(OSError, ValueError):  # there is no such file, or stdout is none
        same = os.path.samestat(path.stat(), os.fstat(sys.stdout.fileno()))
        return same or str(path) == "-"
    return str(path) == "-"


def write_output(path: Path, content: str | bytes) -> None:
    """Write text, as UTF-8, or bytes.

    Raises:
        MachineError: it can't be written; what was there is left as it was.
    """
    whole = content if isinstance(content, bytes) else content.encode()
    if is_stdout(path):
        click.echo(whole, nl=False)
        return
    with writable(path):
        if path.exists() and not path.is_file():
            path.write_bytes(whole)
            return
        with atomic(Path(os.path.realpath(path))) as partial:
            partial.write_bytes(whole)


@contextmanager
def writable(path: Path) -> Iterator[None]:
    """Turn a file system's refusal to write `path` into a `MachineError`."""
    try:
        yield
    except OSError as error:
        raise MachineError(
            f"{path} must be writable but got: {error.strerror or error}; name another place"
        ) from error
