"""A plain loop, as most people write it: one run after another, each step logged.

`python -m bench.speed.plain_loop STUDY [--set KEY=VALUE]` trains the runs of a grid study this
way: each run trains its tokenizer and encodes its text again, and calls the tracker in the loop.
"""

if __name__ == "__main__":  # before the imports
    from bench.system.entry import begin

    begin()

import click

from bench.cells.catalog import find_study
from bench.cells.grid import enumerate_grid
from bench.cells.settings import parse_settings
from bench.record.tracking import Tracker
from bench.run.worker import sample_text
from bench.system.scratch import scratch_folder
from gpt.config import RunConfig
from gpt.training.loop import train
from gpt.training.setup import set_up

PLAIN_SEEDS = 5
"""Seeds of each cell for `seeds="auto"`, because a plain loop does not stop early."""


@click.command()
@click.argument("name", metavar="STUDY")
@click.option("--set", "settings", metavar="KEY=VALUE", multiple=True)
def main(name: str, settings: tuple[str, ...]) -> None:
    """Train all cells, every seed, in this process."""
    study = find_study(name).load()
    tracker = Tracker("plain_loop", __doc__ or "")
    overrides = parse_settings(settings)
    for cell in enumerate_grid(study, overrides).cells:
        for seed in range(PLAIN_SEEDS if study.seeds == "auto" else study.seeds):
            run(cell.config.with_seed(seed), tracker)


def run(config: RunConfig, tracker: Tracker) -> None:
    """One run, from text to sample."""
    every_step = config.override({"log_interval": "1"})
    with scratch_folder() as folder:
        setup = set_up(every_step, cache=folder)
        run_id = tracker.start_run(
            config.key, launch="", ledger="plain_loop", params=config.flat(), tags={}
        )
        for point in train(setup):
            tracker.log_metric(run_id, point.step, "train/loss", point.train_loss)
        (folder / "sample.txt").write_text(sample_text(setup), encoding="utf-8")
        tracker.finish(run_id, "FINISHED", tags={})


if __name__ == "__main__":
    main()
