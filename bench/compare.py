"""`python -m bench.compare STUDY "CELL A" "CELL B"`: is A better than B, by what was recorded?

Everything heavy is imported when there is something to compare, so that `--help` answers at once.
"""

if __name__ == "__main__":  # before the imports
    from bench.system.entry import begin

    begin()

from typing import get_args

import click

from bench.metrics import Metric
from bench.system.refusal import refusals


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 99})
@click.argument("study")
@click.argument("cell_a")
@click.argument("cell_b")
@click.option("--against", metavar="STUDY", help="Take the second cell from this study instead.")
@click.option("--metric", type=click.Choice(get_args(Metric)), default="val_bits_per_byte",
              show_default=True, help="What to compare.")  # fmt: skip
@click.option("--speed", is_flag=True, help="Compare tokens per second.")
@click.option("--alpha", type=float, default=0.01, show_default=True, help="Chance of any false "
              "difference, at all looks at the study together.")  # fmt: skip
@click.option("--matters", type=float, metavar="SHARE", help="The smallest difference that "
              "matters, as a share [default: 0.005; 0.02 for times].")  # fmt: skip
def main(
    study: str,
    cell_a: str,
    cell_b: str,
    against: str | None,
    metric: Metric,
    speed: bool,
    alpha: float,
    matters: float | None,
) -> None:
    """Compare CELL_A with CELL_B of STUDY, seed by seed.

    STUDY is the name of a study that was run in the current folder, or the path of a ledger
    (mlruns/ledger/*.journal). A cell goes by the label that the leaderboard shows, or by its key.

    Exit codes: 0 compared, whatever the verdict; 2 the cells can't be compared.
    """
    with refusals():
        from bench.conclude.pair import compare
        from bench.system.console import open_console

        console = open_console(width=120)
        wanted = "tokens_per_second" if speed else metric
        console.print(
            compare(study, against, (cell_a, cell_b), wanted, alpha=alpha, matters=matters)
        )


if __name__ == "__main__":
    main()
