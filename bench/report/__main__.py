"""`python -m bench.report STUDY`: one HTML file with a study's answer, to look at or to send.

Everything heavy is imported when there is something to report, so that `--help` answers at once.
"""

if __name__ == "__main__":  # before the imports
    from bench.system.entry import begin

    begin()

from pathlib import Path

import click

from bench.system.notes import noted_warnings
from bench.system.output import NamedPath, is_stdout
from bench.system.refusal import refusals


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 99})
@click.argument("study")
@click.option("--folder", type=NamedPath(), default=Path(), metavar="DIR",
              help="Where the study was run [default: here].")  # fmt: skip
@click.option("-o", "--output", type=NamedPath(dir_okay=False), metavar="FILE",
              help="Where to write it [default: mlruns/report/STUDY.html there].")  # fmt: skip
@click.option("--svg", type=NamedPath(file_okay=False), metavar="DIR",
              help="Also write each picture as an SVG file into this folder.")  # fmt: skip
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def main(study: str, folder: Path, output: Path | None, svg: Path | None, debug: bool) -> None:
    """Write the report of STUDY, and print where it is.

    STUDY is the name of a study that was run, or the path of a ledger
    (mlruns/ledger/*.journal). Nothing is trained, and the file loads nothing: it can be sent.

    Exit codes: 0 written; 2 the command is wrong, or there is no such study; 4 a ledger or a
    store can't be read, or a file can't be written.
    """
    with refusals(debug=debug):
        from bench.report.page import Report

        with noted_warnings():
            report = Report.of(study, folder)
        paths = [report.write(output)]
        in_stdout = is_stdout(paths[0])
        if svg is not None:
            paths += report.write_pictures(svg)
        for path in paths[in_stdout:]:
            click.echo(path, err=in_stdout)


if __name__ == "__main__":
    main()
