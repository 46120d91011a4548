"""`python -m bench.export STUDY --csv`: runs for a spreadsheet, or the leaderboard for a paper.

Everything heavy is imported when there is something to export, so that `--help` answers at once.
"""

if __name__ == "__main__":  # before the imports
    from bench.system.entry import begin

    begin()

from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from bench.metrics import Metric
from bench.system.notes import noted_warnings
from bench.system.output import NamedPath
from bench.system.refusal import refusals
from gpt.errors import ConfigError

if TYPE_CHECKING:
    from bench.results.export import Form


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 99})
@click.argument("studies", nargs=-1, metavar="STUDY...")
@click.option("--csv", is_flag=True, help="A row a run: settings, numbers, outcome.")
@click.option("--parquet", is_flag=True, help="The same as a Parquet file.")
@click.option("--latex", is_flag=True, help="The leaderboard as a table for "
              "\\usepackage{booktabs}.")  # fmt: skip
@click.option("--curves", is_flag=True, help="A row a point of the curves instead, for --csv and "
              "--parquet.")  # fmt: skip
@click.option("--metric", type=click.Choice(get_args(Metric)), help="What ranks the cells, for "
              "--latex [default: what ranks the study].")  # fmt: skip
@click.option("-o", "--output", type=NamedPath(dir_okay=False), metavar="FILE", help="A file, "
              "which is replaced if it is there [default: -, which is stdout].")  # fmt: skip
def main(
    studies: tuple[str, ...],
    csv: bool,
    parquet: bool,
    latex: bool,
    curves: bool,
    metric: Metric | None,
    output: Path | None,
) -> None:
    """Export the runs of each STUDY.

    STUDY is the name of a study that was run in the current folder, or the path of a ledger
    (mlruns/ledger/*.journal), also in another folder.

    Exit codes: 0 written; 2 the command is wrong; 4 the file can't be written.
    """
    given: dict[Form, bool] = {"csv": csv, "parquet": parquet, "latex": latex}
    forms = [form for form, wanted in given.items() if wanted]
    with refusals():
        if not studies:
            raise ConfigError("export takes at least one study but got none: see --help")
        if len(forms) != 1:
            got = " and ".join(f"--{form}" for form in forms) or "none"
            raise ConfigError(f"export takes one of --csv, --parquet and --latex but got {got}")
        if latex and curves:
            raise ConfigError("--latex shows the leaderboard but got --curves: use --csv")
        if metric is not None and not latex:
            raise ConfigError("--metric is for --latex; the other forms have every number")
        if parquet and output is None:
            raise ConfigError("--parquet needs a file but got none: add -o runs.parquet")
        from bench.results.export import export

        with noted_warnings():
            export(studies, forms[0], curves=curves, metric=metric, output=output or Path("-"))


if __name__ == "__main__":
    main()
