"""`python -m bench.micro`: show the results of the microbenchmarks; explain a training step."""

if __name__ == "__main__":  # before the imports
    from bench.system.entry import begin

    begin()

from pathlib import Path
from typing import Any

import click

from bench.system.output import NamedPath, is_stdout, writable
from bench.system.refusal import refusals
from gpt.presets import PRESETS

REPORT = Path(".benchmarks") / "report.html"


class _Group(click.Group):
    """Shows the suite's own errors in one line, and ends with their exit codes."""

    def invoke(self, ctx: click.Context) -> Any:
        with refusals(debug=ctx.params["debug"]):
            return super().invoke(ctx)


@click.group(
    cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 99}
)
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def main(debug: bool) -> None:
    """What do the parts of a GPT cost, and do they add up to a training step?

    The parts are timed by `pytest --benchmark-only`.
    """


@main.command()
@click.argument("json", required=False, type=NamedPath())
@click.option("--output", type=NamedPath(dir_okay=False), default=REPORT,
              show_default=True, help="The page; `-` for stdout, without the tables.")  # fmt: skip
def report(json: Path | None, output: Path) -> None:
    """Show what was found, in tables and on a page with pictures.

    JSON is what `pytest --benchmark-only` saved; default: the newest in .benchmarks.

    Exit codes: 0 shown; 2 the command is wrong; 3 there are no results; 4 the page can't be
    written.
    """
    from bench.micro.report.page import write_report
    from bench.micro.report.results import read_results
    from bench.micro.report.tables import tables
    from bench.system.console import open_console

    results = read_results(json)
    if output == REPORT:
        with writable(output.parent):
            output.parent.mkdir(exist_ok=True)
    if is_stdout(output):
        write_report(results, output)
        return
    console = open_console(width=130)
    console.print(*tables(results), sep="\n")
    write_report(results, output)
    console.print(f"\nWith pictures: {output}", soft_wrap=True, highlight=False)


@main.command()
@click.option("--preset", type=click.Choice(list(PRESETS)), default="nanogpt", show_default=True,
              help="Whose training step.")  # fmt: skip
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), default="auto",
              show_default=True, help="Device to measure on.")  # fmt: skip
@click.option("--dtype", type=click.Choice(["float32", "bfloat16", "float16"]),
              default="float32", show_default=True, help="Precision of the products.")  # fmt: skip
@click.option(
    "--kernel", help="Attention kernel instead of the preset's; `auto` takes the fastest."
)
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True,
              help="torch's threads on the CPU.")  # fmt: skip
@click.option("--seconds", type=click.FloatRange(min=0), default=20, show_default=True,
              help="How long to measure; at least three rounds.")  # fmt: skip
def explain(preset: str, device: str, dtype: str, kernel: str | None, threads: int,
            seconds: float) -> None:  # fmt: skip
    """Set a training step beside the sum of its parts.

    It trains on random tokens of the preset's vocabulary: times don't depend on their meaning.
    """
    import torch

    from bench.micro.step.explain import explain_step, show
    from bench.system.console import open_console
    from gpt.acceleration.malloc import keep_freed_memory

    settings = {"device": device, "dtype": dtype} | ({"kernel": kernel} if kernel else {})
    torch.set_num_threads(threads)
    keep_freed_memory()  # as a sweep's workers do
    explanation = explain_step(PRESETS[preset].override(settings), seconds=seconds)
    open_console(width=110).print(show(explanation, preset))


if __name__ == "__main__":
    main(prog_name="python -m bench.micro")
