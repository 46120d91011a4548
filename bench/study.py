"""`python -m bench.study NAME`: run a study, or go on with it where it stopped.

Everything heavy is imported when a study really starts, so that `--help` and `--list` answer at
once.
"""

if __name__ == "__main__":  # before the imports
    from bench.system.entry import begin

    begin()

import re
import sys
from pathlib import Path
from typing import Any, Literal

import click

from bench.system.refusal import refusals
from gpt.errors import ConfigError


class Seeds(click.ParamType[Any]):
    """A number of at least 1, or `auto`."""

    name = "seeds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number, or the word."""
        if value == "auto" or (isinstance(value, int) and value >= 1):
            return value
        if not re.fullmatch(r"0*[1-9][0-9]*", str(value)):
            self.fail(f"{value!r} is neither a whole number from 1 on nor auto", param, ctx)
        return int(value)


class Duration(click.ParamType[Any]):
    """A number and a unit, `90s`, `5min` or `1h`, as seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The seconds."""
        found = re.fullmatch(r"(\d+\.?\d*) ?(s|min|h)", str(value))
        seconds = float(found[1]) * {"s": 1, "min": 60, "h": 3600}[found[2]] if found else 0.0
        if not seconds:
            self.fail(f"{value!r} is not a time such as 90s, 5min or 1h", param, ctx)
        return seconds


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 99})
@click.argument("study", required=False)
@click.option("--list", "list_", is_flag=True, help="Show the studies and what each one asks.")
@click.option("--plan", is_flag=True, help="Show the cells, and train nothing.")
@click.option("--corpus", metavar="NAME|PATH", help="pydocs, tinyshakespeare, don_quixote, or any "
              "UTF-8 file or folder of .txt files.")  # fmt: skip
@click.option(
    "--corpora-dir",
    metavar="DIR",
    help="Where to look for known corpora before downloading them [env: GPT_BENCH_CORPORA].",
)
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), help="Where to train."
)
@click.option("--workers", type=click.IntRange(min=1), help="Runs at the same time; they "
              "share the cores. Default: one for each core, or one on a GPU.")  # fmt: skip
@click.option("--executor", type=click.Choice(["local", "ray"]), default="local",
              show_default=True, help="Processes on this machine, or a Ray cluster.")  # fmt: skip
@click.option("--address", metavar="HOST:PORT|auto", help="Address of the Ray cluster; "
              "without it, one is started on this machine for this command.")  # fmt: skip
@click.option("--seeds", type=Seeds(), metavar="N|auto", help="Runs of each cell; auto starts "
              "with two, and adds runs to the cells that may be the best until the best is found, "
              "up to 12 [default: the study's own, mostly auto].")  # fmt: skip
@click.option("--matters", type=float, metavar="SHARE", help="The smallest difference that "
              "matters, as a share of the best [default: 0.005; 0.02 for times].")  # fmt: skip
@click.option("--set", "settings", metavar="KEY=VALUE", multiple=True, help="Fix a field of the "
              "config for all cells: n_layer=2, dropout=0.1, bias=True, steps=500.")  # fmt: skip
@click.option("--budget", "budgets", metavar="UNIT=AMOUNT", multiple=True, help="Train for that "
              "many steps, tokens, bytes, flops or seconds; given more than once, run under "
              "each, and show where the leader changes.")  # fmt: skip
@click.option("--within", type=Duration(), metavar="TIME", help="Reduce the budget so that the "
              "study ends within 90s, 5min or 1h on this machine.")  # fmt: skip
@click.option("--fresh", is_flag=True, help="Start over in a new ledger; what was recorded stays.")
@click.option("--from-run", metavar="RUN_ID", help="Run the config of a recorded run again.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def main(study: str | None, list_: bool, debug: bool, **options: Any) -> None:
    """Run STUDY: the name of one that --list shows, or the path of a file of your own.

    The same command goes on where it was stopped. Results are kept in the current folder: browse
    them with `python -m bench.ui`.

    Exit codes: 0 done, 2 the command or the study is wrong, 3 the text is wrong, 4 the machine or
    a service is missing, 5 finished but not every run complete, 130 interrupted by Ctrl-C, 143 by
    SIGTERM.
    """
    with refusals(debug=debug):
        if list_:
            _list()
            return
        sys.exit(_run(study, **options))


def _list() -> None:
    from rich.table import Table

    from bench.cells.catalog import all_studies
    from bench.cells.grid import cells_of
    from bench.system.console import open_console

    table = Table("study", "question", "text", box=None, header_style="bold")
    for file in all_studies():
        table.add_row(file.name, file.question, cells_of(file.load(), {}).texts)
    open_console(width=120).print(table)


def _run(
    name: str | None,
    *,
    plan: bool,
    corpus: str | None,
    corpora_dir: str | None,
    device: str | None,
    workers: int | None,
    executor: Literal["local", "ray"],
    address: str | None,
    seeds: int | Literal["auto"] | None,
    matters: float | None,
    settings: tuple[str, ...],
    budgets: tuple[str, ...],
    within: float | None,
    fresh: bool,
    from_run: str | None,
) -> int:
    typed = {"STUDY": name, "--corpus": corpus, "--corpora-dir": corpora_dir, "--address": address,
             "--from-run": from_run}  # fmt: skip
    for option, text in typed.items():
        if text == "":  # a variable of the shell that is not set; as a path it is this folder
            raise ConfigError(f"{option} must name something but got ''")
    if (name is None) == (from_run is None):
        raise ConfigError("name one study, or give --from-run; --list shows the studies")
    if address is not None and executor != "ray":
        raise ConfigError("--address is that of a Ray cluster: give --executor ray too")
    from bench.cells.settings import parse_budgets, parse_settings

    overrides = parse_settings(settings)
    for key, value in (("corpus", corpus), ("device", device)):
        if value is not None:
            if key in overrides:
                raise ConfigError(
                    f"--{key} {value} and --set {key}={overrides[key]} say the same: keep one"
                )
            overrides[key] = value

    if within is not None and budgets:
        raise ConfigError("--within chooses the budget, and so does --budget: keep one of them")

    if not plan and executor == "local" and not Path("mlruns", "ledger").exists():
        from bench.run import forkserver

        forkserver.start()  # something is left to do: it imports torch while this process does

    from bench.plan.plan import Request, make_plan, under_budgets
    from bench.system.console import open_console

    request = Request(
        study=name,
        from_run=from_run,
        overrides=overrides,
        corpora_dir=Path(corpora_dir) if corpora_dir is not None else None,
        workers=workers,
        executor=executor,
        address=address,
        seeds=seeds,
        matters=matters,
        fresh=fresh,
    )
    if within is not None:
        from bench.plan.within import fit

        request, words = fit(request, within, keep=not plan)
        click.echo(words, err=True)
    requests = under_budgets(request, parse_budgets(budgets))
    console = open_console(width=120)
    if plan:
        from bench.conduct.conductor import is_finished
        from bench.plan.foresee import foresee_plan
        from bench.plan.lacking import say_lacking
        from bench.plan.show import show_plan

        for one in requests.values():
            made = make_plan(one)
            finished = is_finished(one, made)
            forecast = foresee_plan(one, made, timed=not finished)
            show_plan(made, console, forecast, lacking=say_lacking(one, made), finished=finished)
        return 0

    from bench.conduct.conductor import run_all

    return run_all(requests, console)


if __name__ == "__main__":
    main()
