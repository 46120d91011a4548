"""The report as a page: the question, the answer, and what it rests on, in this order."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from markupsafe import Markup

from bench.conclude.doubts import say_open
from bench.conclude.latex import latex
from bench.conclude.leaderboard import BEHIND, columns_of, say_gaps
from bench.conclude.limits import say_edges, say_scope
from bench.conclude.remarks import remarks, say_answer, say_cost
from bench.conclude.summary import summarize
from bench.drawing import Picture, Section, download, standalone, table, write_page
from bench.ledger.paths import report_path
from bench.report import figures
from bench.report.made_with import environment_of, made_with
from bench.report.story import Story
from bench.report.texts import SAMPLE_CHARACTERS, passages, samples, show_passages
from bench.system.output import writable, write_output

FIRST = ("cell", "bits/byte", BEHIND, "verdict", "seeds")
"""How the first columns of the table are headed: a phone shows no more."""

GLOSSARY = (
    "A cell is one combination of settings that was tried; a run trains it once, with one seed, "
    "the start of its random numbers. Bits per byte is how many bits a model needs on average for "
    "a byte of text that it was not trained on: fewer is better, and 8 is knowing nothing.",
    "Loss is in nats per token. Seconds are those of training alone, and params the parameters of "
    "the model. Context is how much text a model sees at once. Validation text is held out to "
    "compare the cells; test text is held out from that too.",
)


@dataclass(frozen=True, kw_only=True)
class Report:
    """The report of a study, before it is written."""

    story: Story
    sections: list[Section]

    @classmethod
    def of(cls, study: str, folder: Path = Path()) -> Self:
        """The report of a study that was run in a folder.

        Raises:
            ConfigError: there is no such study, or an earlier version ran it.
            MachineError: its ledger, or a store, can't be read.
        """
        story = Story.of(study, folder)
        if story.lacking:
            warnings.warn(story.lacking, stacklevel=2)
        return cls(story=story, sections=list(_sections(story)))

    def write(self, path: Path | None = None) -> Path:
        """Write it as an HTML file, beside the study's runs unless a path is given.

        Raises:
            MachineError: it can't be written.
        """
        story = self.story
        if path is None:
            path = report_path(story.name, story.folder)
            with writable(path.parent):
                path.parent.mkdir(parents=True, exist_ok=True)
        about = story.about
        write_page(
            path,
            title=about.question or about.title,
            subtitle=_subtitle(story),
            lead=" ".join(_lead(story)),
            sections=self.sections,
        )
        return path

    def write_pictures(self, folder: Path) -> list[Path]:
        """Write each drawing as an SVG file; returns their paths.

        Raises:
            MachineError: they can't be written.
        """
        with writable(folder):
            folder.mkdir(exist_ok=True)
        paths = []
        for picture in (picture for section in self.sections for picture in section.pictures):
            for i, panel in enumerate(picture.panels, start=1):
                number = f"-{i}" * (len(picture.panels) > 1)
                path = folder / f"{picture.name}{number}.svg"
                write_output(path, standalone(panel.figure, path.stem))
                paths.append(path)
        return paths


def say_lead(story: Story) -> str:
    """The answer in a sentence."""
    if answer := say_answer(story.standings):
        return answer
    cells = summarize(story.standings)
    if cells.empty:
        return "No run is complete: see below what became of them."
    row = next(cells.itertuples())
    spread = f" ±{row.spread:.3f}" if row.seeds > 1 else ""
    return f"{row.cell}: {row.bits_per_byte:.3f}{spread} bits per byte, of {row.seeds} runs."


def _lead(story: Story) -> list[str]:
    """The answer, what is open or in doubt of it, its cost, and whether the grid ends there."""
    more = (say_open, say_cost, say_edges)
    said = (say_lead(story), story.unfinished, *(say(story.standings) for say in more))
    return [sentence for sentence in said if sentence]


def _subtitle(story: Story) -> str:
    entries = story.standings.entries
    n_cells = len({entry.cell for entry in entries})
    parts = [story.about.title, f"{n_cells} cells", f"{len(entries)} runs"]
    corpora = {str(e.facts["corpus"]) for e in entries if "corpus" in e.facts}
    budgets = {entry.config.train.budget for entry in entries}
    parts += sorted(corpus for corpus in corpora if corpus not in story.about.title)
    parts += [f"{budget.amount:,g} {budget.unit} a run" for budget in budgets]
    version = environment_of(story).get("gpt-bench")
    parts += [f"gpt-bench {version}"] * bool(version)
    parts += [f"{story.ended:%Y-%m-%d}"] * bool(story.ended)
    return " · ".join(parts)


def _sections(story: Story) -> Iterator[Section]:
    description = story.about.description
    lead = _lead(story)
    scope = say_scope(story.standings)
    said = [*lead, scope]
    told = [story.confirmation, *(r for r in remarks(story.standings) if r not in said)]
    yield Section(
        title="The answer",
        name="answer",
        paragraphs=[text for text in (scope, description) if text],
        pictures=_drawn(figures.leaderboard(story)),
        content=[*_board(story), *(_paragraph(remark) for remark in told if remark)],
    )
    yield from _of("While it learns", "curves", figures.curves(story))
    yield from _of("What it costs", "cost", figures.cost(story))
    yield from _of("The grid", "grid", figures.heat_map(story))
    yield from _of(
        "The search",
        "search",
        figures.importance(story),
        figures.slices(story),
        figures.parallel(story),
    )
    yield from _of("Devices", "devices", figures.machines(story))
    yield from _of("The race", "race", figures.race(story))
    if (texts := samples(story)) is not None:
        words = (
            "One run of each cell goes on after a line break: one random draw each, which is no "
            "measure of quality. They are of equally many tokens, so they are of unlike lengths, "
            f"and cut after {SAMPLE_CHARACTERS} characters."
        )
        yield Section(title="Samples", name="samples", paragraphs=[words], content=[texts])
    if found := passages(story):
        words = (
            "The same validation passage, token by token: darker is more bits per byte, a line "
            "before a character is the edge of a token, and ↵ a line end. The number behind a "
            "name is the mean of this passage alone."
        )
        content = [show_passages(found)]
        yield Section(title="Where the bits go", name="bits", paragraphs=[words], content=content)
    yield _failures(story)
    yield made_with(story)
    yield Section(title="Words", name="words", paragraphs=GLOSSARY)


def _drawn(*pictures: Picture | None) -> list[Picture]:
    return [picture for picture in pictures if picture is not None]


def _of(title: str, name: str, *pictures: Picture | None) -> Iterator[Section]:
    if drawn := _drawn(*pictures):
        yield Section(title=title, name=name, pictures=drawn)


def _paragraph(text: str) -> Markup:
    return Markup("<p>{}</p>").format(text)


def _board(story: Story) -> Iterator[Markup]:
    """The leaderboard as a table, with its numbers as CSV and as LaTeX."""
    cells = summarize(story.standings)
    if cells.empty:
        return
    columns = columns_of(cells, story.standings)
    if "verdict" in columns:  # the seeds beside it and the race tell what was dropped
        columns["verdict"] = [word.partition(", dropped")[0] for word in columns["verdict"]]
    columns["seeds"] = [str(n) for n in cells.seeds]
    columns["bytes/token"] = [f"{n:.2f}" for n in cells.n_bytes / cells.n_tokens]
    columns = dict(sorted(columns.items(), key=lambda column: not column[0].startswith(FIRST)))
    yield table(columns, words=("cell", "verdict"))
    yield _paragraph(
        "± is the standard deviation between seeds. The fewer the seeds, the wider the interval."
    )
    csv = cells.to_csv(index=False)
    yield download("cells.csv", "text/csv", csv, "a row a cell (CSV)")
    tex = latex(story.about.title, story.standings, label=story.name)
    yield download("leaderboard.tex", "application/x-tex", tex, "leaderboard (LaTeX)")


def _failures(story: Story) -> Section:
    gaps = say_gaps([*story.before_finals, *story.standings.entries], story.dropped)
    words = ["Every run is complete."] if not gaps else ["What is not complete, and why:"]
    if story.unfinished and not gaps:
        words = ["Every run that ended is complete.", story.unfinished]
    items = (Markup("<li>{}</li>").format(gap) for gap in gaps)
    content = [Markup("<ul>{}</ul>").format(Markup("").join(items))] if gaps else []
    if story.lacking:
        content.append(_paragraph(story.lacking))
    title = "What failed" if gaps else "Failed runs: none"
    return Section(title=title, name="failed", paragraphs=words, content=content)
