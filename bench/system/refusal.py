"""How a command reports an error: in a line or two, without secrets, and with an exit code."""

import errno
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import click

from bench.system.full_disk import full_disk, full_disk_error
from bench.system.interruption import Stopped
from bench.system.redact import redacted_output
from gpt.errors import GptBenchError


@contextmanager
def refusals(*, debug: bool = False) -> Iterator[None]:
    """Print what the block raises as a message and exit with its code; redact all output.

    Args:
        debug: show the traceback too.
    """
    with redacted_output():
        try:
            yield
        except Stopped as stopped:
            click.echo(stopped.words, err=True)
            raise
        except GptBenchError as error:
            _refuse(error, debug)
        except Exception as error:
            if isinstance(error, OSError) and error.errno == errno.EPIPE:
                raise  # the reader of the output has closed it; click handles that
            if not (said := full_disk(error)):
                _fail()  # a bug: print the traceback, which a report of it needs
            _refuse(full_disk_error(said), debug)


def _refuse(error: GptBenchError, debug: bool) -> None:
    if debug:
        traceback.print_exc()
    click.echo(f"error: {error}", err=True)
    sys.exit(error.exit_code)


def _fail() -> None:
    traceback.print_exc()
    sys.exit(1)
