"""`python -m bench.tokens TEXT`: how the tokenizers of a study cut a text.

Everything heavy is imported when there is something to cut, so that `--help` answers at once.
"""

if __name__ == "__main__":  # before the imports
    from bench.system.entry import begin

    begin()

import click
from click.core import ParameterSource

from bench.system.notes import noted_warnings
from bench.system.refusal import refusals
from gpt.errors import ConfigError


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 99})
@click.pass_context
@click.argument("text")
@click.option("--study", default="tokenizer_sweep", show_default=True, help="A study that was run "
              "in the current folder, or the path of its ledger.")  # fmt: skip
def main(context: click.Context, text: str, study: str) -> None:
    """Show how each tokenizer of a study cuts TEXT, with the bytes per token.

    Tokens are told apart by their colours, or by a bar where there are none. A space is shown as
    ␣, a newline as ⏎, a tab as ⇥, a carriage return as ␍; a byte that is a part of a character
    as <0xE2>.

    Exit codes: 0 shown; 2 there is no such study, or the text is empty.
    """
    with refusals():
        from bench.ledger.paths import find_ledger
        from bench.results.cuts import cuts_of
        from bench.system.console import open_console

        if context.get_parameter_source("study") is ParameterSource.DEFAULT:
            try:
                find_ledger(study)
            except ConfigError as error:
                raise ConfigError(f"{error}; --study names another one") from None
        with noted_warnings():
            cuts = cuts_of(study, text)
        console = open_console(width=120)
        for cut in cuts:
            console.print(cut)


if __name__ == "__main__":
    main()
