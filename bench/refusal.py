"""How every command ends that can't do what was asked: in a line or two, without secrets."""

import errno
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import click

from bench.interrupt import Stopped
from bench.redact import redacted_output
from gpt.errors import GptBenchError, MachineError

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})
"""What a disk says that can't take more."""


@contextmanager
def refusals(*, debug: bool = False) -> Iterator[None]:
    """Say in words what the block raises, with its exit code; redact all that is printed in it.

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
        except OSError as error:
            if error.errno not in FULL:
                _fail()
            refusal = (
                f"the disk must take what is written but {error}\nfree some space, then go on"
            )
            _refuse(MachineError(refusal), debug)
        except Exception:  # a fault of ours: the traceback is what a report of it needs
            _fail()


def _refuse(error: GptBenchError, debug: bool) -> None:
    if debug:
        traceback.print_exc()
    click.echo(f"error: {error}", err=True)
    sys.exit(error.exit_code)


def _fail() -> None:
    traceback.print_exc()
    sys.exit(1)
