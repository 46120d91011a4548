"""`python -m bench.power`: what the rule behind all verdicts does, in simulation."""

if __name__ == "__main__":  # before the imports
    from bench.system.entry import begin

    begin()

import click

from bench.system.refusal import refusals


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 99})
@click.option("--grids", type=click.IntRange(min=1), default=1000, show_default=True,
              help="How many grids of each kind to simulate.")  # fmt: skip
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True,
              help="Seed of the random numbers.")  # fmt: skip
def main(grids: int, seed: int) -> None:
    """Simulate studies of ten cells whose true values are known.

    Each race takes its looks as `--seeds auto` does, at alpha 0.01 over all pairs and looks. Where
    there is nothing to find, any difference is taken to matter.
    """
    with refusals():
        from bench.conclude.power import TRUTHS, operate
        from bench.system.console import open_console
        from bench.system.fitted_table import Fitted

        console = open_console(width=120)
        found = {}
        with console.status("simulating") as status:
            for truth in TRUTHS:
                status.update(truth.name)
                found[truth.name] = operate(truth, grids, seed)
        columns = {
            "grid of ten cells": list(found),
            "best is named": [f"{o.settled:.1%}" for o in found.values()],
            "false difference": [f"{o.false:.1%}" for o in found.values()],
            "ends in a tie": [f"{o.tied:.1%}" for o in found.values()],
            "runs": [f"{o.n_runs:.1f} of {o.most_runs}" for o in found.values()],
        }
        console.print(
            Fitted(
                title=f"{grids} grids each", columns=columns, words=tuple(columns)[:1], spare=()
            )
        )


if __name__ == "__main__":
    main()
