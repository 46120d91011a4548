"""The results as one page: what was found, pictures against T, all numbers, and what has no time.

It loads nothing and has no script.
"""

from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup, escape

from bench.drawing import Section, download, table, write_page
from bench.micro.report.pictures import data, draw, looks_of
from bench.micro.report.questions import IN_TURNS, Question, questions, summary
from bench.micro.report.results import Results
from bench.micro.report.tables import cells, left_out, notes


def write_report(results: Results, page: Path) -> None:
    """Write the page."""
    asked = questions(results)
    over_lengths = [question for question in asked if question.lengths != [None]]
    looks = looks_of(over_lengths)
    wrong = {left.name for left in results.left_out if left.reason.startswith("wrong")}
    sections = [
        Section(
            title="What was found",
            name="found",
            paragraphs=[f"{IN_TURNS.capitalize()}."],
            content=[_list([(q.series, q.finding) for q in asked if q.finding])],
        ),
        Section(
            title="Against T",
            name="pictures",
            pictures=[draw(question, looks) for question in over_lengths],
        ),
        Section(
            title="All numbers",
            name="numbers",
            paragraphs=notes(results),
            content=[_download(asked), *map(_table, asked)],
        ),
        Section(
            title="Without a time",
            name="without",
            content=[_list([("", line) for line in left_out(results.left_out)])],
        ),
    ]
    write_page(
        page,
        title="Microbenchmarks: which way is fastest?",
        subtitle=f"{', '.join({q.where: 0 for q in asked})} · commit {results.commit} · "
        f"{results.taken_at}",
        lead=summary(asked)
        + (f" Wrong, and without a time: {', '.join(sorted(wrong))}." if wrong else ""),
        sections=[section for section in sections if any((section.pictures, *section.content))],
    )


def _list(lines: Sequence[tuple[str, str]]) -> Markup:
    """A list whose items begin with a name in bold."""
    items = (
        Markup("<li>{}{}</li>").format(Markup("<b>{}</b>: ").format(name) if name else "", line)
        for name, line in lines
    )
    body = Markup("\n").join(items)
    return Markup("<ul>\n{}\n</ul>").format(body) if lines else Markup("")


def _table(question: Question) -> Markup:
    """The medians of a question, and its verdicts below them."""
    headings, rows = cells(question)
    columns = {
        heading: [Markup("<b>{}</b>").format(c.text) if c.is_fastest else c.text for c in column]
        for heading, column in zip(headings, zip(*rows, strict=True), strict=True)
    }
    verdicts = Markup("<br>").join(escape(line) for line in question.verdicts)
    return Markup('<h3>{} · {}</h3>\n{}\n<p class="note">{}</p>').format(
        question.series, question.where, table(columns, words=("",)), verdicts
    )


def _download(asked: Sequence[Question]) -> Markup:
    text = data(asked).to_csv(index=False)
    return download("microbenchmarks.csv", "text/csv", text, "all numbers (CSV)")
