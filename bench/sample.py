"""`python -m bench.sample RUN --prompt "…"`: what a recorded run's model writes.

Everything heavy is imported when there is something to write, so that `--help` answers at once.
"""

if __name__ == "__main__":  # before the imports
    from bench.system.entry import begin

    begin()

import click

from bench.system.notes import noted_warnings
from bench.system.refusal import refusals


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 99})
@click.argument("run")
@click.option("--prompt", required=True, help="The text to continue.")
@click.option("--cell", help="RUN is a study: take the best run of this cell, by what ranks the "
              "study.")  # fmt: skip
@click.option("--tokens", type=click.IntRange(min=1), default=200, show_default=True,
              help="How many to write.")  # fmt: skip
@click.option("--temperature", type=click.FloatRange(min=0), default=1.0, show_default=True,
              help="Below 1 keeps to the likelier tokens; 0 takes the likeliest.")  # fmt: skip
@click.option("--top-k", type=click.IntRange(min=1), help="Sample among so many tokens [default: "
              "all].")  # fmt: skip
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True,
              help="Another one gives another text.")  # fmt: skip
def main(
    run: str,
    prompt: str,
    cell: str | None,
    tokens: int,
    temperature: float,
    top_k: int | None,
    seed: int,
) -> None:
    """Continue a prompt with the model that RUN saved.

    RUN is the id of a run in MLflow; with --cell, the name of a study that was run in the current
    folder, or the path of its ledger. Control characters but newlines and tabs are shown as
    <U+001B>.

    Exit codes: 0 done; 2 there is no such run, or the prompt is wrong; 3 the run's files are
    missing or damaged.
    """
    with refusals():
        from bench.results.sampling import sample
        from bench.system.controls import spell_controls

        with noted_warnings():
            text = sample(
                run,
                cell,
                prompt,
                n_tokens=tokens,
                temperature=temperature,
                top_k=top_k,
                seed=seed,
            )
        click.echo(spell_controls(text))


if __name__ == "__main__":
    main()
