"""`python -m bench.study NAME`: run a study, or go on with it where it stopped.

Everything heavy is imported when a study really starts, so that `--help` and `--list` answer at
once.
"""

if __name__ == "__main__":  # before the imports
    from bench.entry import begin

    begin()

import sys
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

import click

from bench.refusal import refusals
from gpt.config import Budget
from gpt.errors import ConfigError


class Seeds(click.ParamType[Any]):
    """A number of at least 1, or `auto`."""

    name = "seeds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number, or the word."""
        return value if value == "auto" else click.IntRange(min=1).convert(value, param, ctx)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 99})
@click.argument("study", required=False)
@click.option("--list", "list_", is_flag=True, help="Show the studies and what each one asks.")
@click.option("--plan", is_flag=True, help="Show the cells, and train nothing.")
@click.option("--corpus", metavar="NAME|PATH", help="pydocs, tinyshakespeare, don_quixote, or any "
              "UTF-8 file or folder of .txt files.")  # fmt: skip
@click.option(
    "--corpora-dir",
    type=click.Path(path_type=Path),
    help="Where to look for known corpora before downloading them [env: GPT_BENCH_CORPORA].",
)
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), help="Where to train."
)
@click.option("--workers", type=click.IntRange(min=1), help="Runs side by side; the cores are "
              "shared out among them. Default: one a core, or one on a GPU.")  # fmt: skip
@click.option("--executor", type=click.Choice(["local", "ray"]), default="local",
              show_default=True, help="Processes on this machine, or a Ray cluster.")  # fmt: skip
@click.option("--address", metavar="HOST:PORT|auto", help="Of the Ray cluster; without it ray "
              "starts one here, for this command.")  # fmt: skip
@click.option("--seeds", type=Seeds(), metavar="N|auto", help="Runs of each cell; auto adds seeds "
              "until the lead is settled, or to a cap.")  # fmt: skip
@click.option("--set", "settings", metavar="KEY=VALUE", multiple=True, help="Fix a field of the "
              "config for all cells: n_layer=2, dropout=0.1, bias=True, steps=500.")  # fmt: skip
@click.option("--budget", "budgets", metavar="UNIT=AMOUNT", multiple=True, help="Train for that "
              "many steps, tokens, bytes, flops or seconds; given twice, show under which one "
              "the leader changes.")  # fmt: skip
@click.option("--fresh", is_flag=True, help="Begin anew; what was recorded stays.")
@click.option("--from-run", metavar="RUN_ID", help="Run the config of a recorded run again.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def main(study: str | None, list_: bool, debug: bool, **options: Any) -> None:
    """Run STUDY: the name of one that --list shows, or the path of a file of your own.

    The same command goes on where it was stopped. Results are kept in the current folder: browse
    them with `mlflow ui`.

    Exit codes: 0 done, 2 the command or the study is wrong, 3 the text is wrong, 4 the machine or
    a service is missing, 5 finished but not every run complete, 130 interrupted, 143 the same by
    SIGTERM.
    """
    with refusals(debug=debug):
        if list_:
            _list()
            return
        sys.exit(_run(study, **options))


def _list() -> None:
    from rich.console import Console
    from rich.table import Table

    from bench.catalog import all_studies

    table = Table("study", "question", box=None, header_style="bold")
    for file in all_studies():
        table.add_row(file.name, file.question)
    Console().print(table)


def _run(
    name: str | None,
    *,
    plan: bool,
    corpus: str | None,
    corpora_dir: Path | None,
    device: str | None,
    workers: int | None,
    executor: Literal["local", "ray"],
    address: str | None,
    seeds: int | Literal["auto"] | None,
    settings: tuple[str, ...],
    budgets: tuple[str, ...],
    fresh: bool,
    from_run: str | None,
) -> int:
    if (name is None) == (from_run is None):
        raise ConfigError("name one study, or give --from-run; --list shows the studies")
    if address is not None and executor != "ray":
        raise ConfigError("--address is that of a Ray cluster: give --executor ray too")
    overrides = parse_settings(settings)
    for key, value in (("corpus", corpus), ("device", device)):
        if value is not None:
            overrides[key] = value

    if not plan and executor == "local":
        from bench import forkserver

        forkserver.start()  # it imports torch while this process does

    from rich.console import Console

    from bench.plan import Command, make_plan, show_plan

    command = Command(
        study=name,
        from_run=from_run,
        overrides=overrides,
        corpora_dir=corpora_dir,
        workers=workers,
        executor=executor,
        address=address,
        seeds=seeds,
        fresh=fresh,
    )
    console = Console(width=None if sys.stdout.isatty() else 120)
    if plan:
        show_plan(make_plan(command), console)
        return 0

    from bench.command import run_study, run_under_budgets

    if budgets:
        return run_under_budgets(command, parse_budgets(budgets), console)
    return run_study(command, console).exit_code


def parse_budgets(budgets: tuple[str, ...]) -> dict[str, str]:
    """`("bytes=500_000", "flops=4e11")` as a dict; raises `ConfigError` on anything else."""
    parsed = parse_settings(budgets)
    units = [unit.name for unit in fields(Budget)]
    for unit in parsed:
        if unit not in units:
            raise ConfigError(f"--budget takes one of {', '.join(units)} but got {unit!r}")
    if len(parsed) < len(budgets):
        raise ConfigError("--budget takes each unit once but got " + ", ".join(budgets))
    return parsed


def parse_settings(settings: tuple[str, ...]) -> dict[str, str]:
    """`("n_head=2", "dropout=0.1")` as a dict; raises `ConfigError` on anything else."""
    parsed = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not (key and equals and value):
            raise ConfigError(f"--set takes KEY=VALUE but got {setting!r}")
        parsed[key.strip()] = value.strip()
    return parsed


if __name__ == "__main__":
    main()
