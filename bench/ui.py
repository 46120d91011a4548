"""`python -m bench.ui [STUDY]`: MLflow's UI for what was run in this folder, and its links.

Everything heavy is imported when there is something to show, so that `--help` answers at once.
"""

if __name__ == "__main__":  # before the imports
    from bench.system.entry import begin

    begin()

from typing import TYPE_CHECKING

import click

from bench.system.refusal import refusals

if TYPE_CHECKING:
    from bench.results.links import Links

PORT = 5000
"""MLflow's own."""


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 99})
@click.argument("study", required=False)
@click.option("--port", type=click.IntRange(1, 65535), default=PORT, show_default=True,
              help="Where to serve; a free port if that is taken.")  # fmt: skip
@click.option("--no-browser", is_flag=True, help="Print the links and open no browser.")
def main(study: str | None, port: int, no_browser: bool) -> None:
    """Serve MLflow's UI on this machine, and open the leaderboard of STUDY.

    STUDY is the name of a study that was run in the current folder, or the path of its ledger;
    without one, the links of all of them are printed. Ctrl-C ends the server.

    Exit codes: 130 ended by Ctrl-C, 143 by SIGTERM; 2 there is no such study, or nothing was run
    here; 4 the server can't be started.
    """
    with refusals():
        from bench.record.ui_server import ui_server
        from bench.results.links import links_of
        from bench.system.interruption import raised

        links = links_of(study)
        if links.server:
            _show(links, links.server, no_browser)
            return
        click.echo("Starting MLflow's UI …", err=True)
        with raised(), ui_server(links.store, links.folder, port) as server:
            _show(links, server.address, no_browser)
            click.echo("\nCtrl-C ends it.")
            server.wait()


def _show(links: "Links", address: str, no_browser: bool) -> None:
    """Print the links at a UI's address, and open the first leaderboard."""
    from bench.results.links import open_in_browser

    for title, pages in links.pages.items():
        click.echo(title)
        for name, page in pages.items():
            click.echo(f"  {name:<12} {address}{page}")
    if not no_browser:
        open_in_browser(address + next(iter(links.pages.values()))["leaderboard"])


if __name__ == "__main__":
    main()
