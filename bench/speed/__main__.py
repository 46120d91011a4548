"""`python -m bench.speed`: measure every row, print the table, log it to MLflow."""

if __name__ == "__main__":  # before the imports
    from bench.system.entry import begin

    begin()

from typing import Any

import click

from bench.system.interruption import Stopped, raised
from bench.system.output import NamedPath
from bench.system.refusal import refusals

ROWS = ("training", "target", "sweep", "overhead", "generation", "help")


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 99})
@click.option(
    "--quick", is_flag=True, help="Tiny sizes and one round, to see that all of it works."
)
@click.option("--only", type=click.Choice(ROWS), multiple=True, help="Measure only these rows.")
@click.option("--shape", "shapes", type=click.Choice(["A", "B", "C"]), multiple=True,
              help="Train only at these shapes.")  # fmt: skip
@click.option("--rounds", type=click.IntRange(min=1), default=3, show_default=True,
              help="Rounds (A B B A); short timings have three times as many, the sweep "
              "a third.")  # fmt: skip
@click.option("--against", type=NamedPath(), metavar="PATH",
              help="A checkout of nanoGPT, to run the real one beside ours.")  # fmt: skip
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), default="auto")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True,
              help="Number of torch's threads; a run of a sweep has one.")  # fmt: skip
@click.option("--corpora-dir", type=NamedPath(),
              help="Where tinyshakespeare is [env: GPT_BENCH_CORPORA].")  # fmt: skip
def main(only: tuple[str, ...], threads: int, **options: Any) -> None:
    """Time the suite against nanoGPT, the originals and a plain loop, alternately."""
    with refusals():
        _measure(only or ROWS, threads, options)


def _measure(names: tuple[str, ...], threads: int, options: dict[str, Any]) -> None:
    import torch

    from bench.record.tracking import Tracker
    from bench.speed.measure import Request, measure, record
    from bench.speed.rows import as_table
    from bench.system import provenance
    from bench.system.console import open_console
    from bench.system.scratch import scratch_folder
    from gpt.device import device_name, resolve_device

    torch.set_num_threads(threads)
    console = open_console(width=140)
    tracker = Tracker("speed", "How fast is the suite? Ratios of ways that were timed in turn.")
    rows, status = [], "FAILED"
    where = resolve_device(options["device"])
    try:
        with raised(), scratch_folder() as folder:
            for row in measure(names, Request(**options), tracker, folder):
                rows.append(row)
                click.echo(str(row), err=True)
        status = "FINISHED"
    except Stopped:
        status = "KILLED"
        raise
    finally:  # also if it was stopped: the finished rows are worth keeping
        if rows:
            table = as_table(rows)
            with console.capture() as text:
                console.print(table)
            environment = {
                **provenance.environment(),
                "threads": torch.get_num_threads(),
                "device_name": device_name(where),
            }
            try:
                record(tracker, rows, text.get(), environment, status=status)
            finally:
                console.print(table)


if __name__ == "__main__":
    main()
