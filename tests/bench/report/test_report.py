"""The report of a study that was really run, and what is written on its page."""

import html
import math
import os
import re
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from ledgers import SUMMARY, Open, complete
from workplace import Finished

from bench.ledger.ledger import Ledger
from bench.ledger.outcome import Outcome
from bench.report.__main__ import main
from bench.report.lacking import say_lacking, say_unfinished
from bench.report.made_with import say_values
from bench.report.page import Report, _failures, _lead, say_lead
from bench.report.story import Story
from bench.report.texts import LINE_CHARACTERS, passages, show_passages
from bench.run.passage import Passage
from bench.system.controls import spell_controls

MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def report(swept: Finished) -> Report:
    return Report.of("sweep", swept.place.folder)


@pytest.fixture(scope="module")
def page(report: Report, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("report") / "sweep.html"
    report.write(path)
    return path.read_text("utf-8")


def text_of(page: str) -> str:
    """The words of a page, without what only a style sheet or a picture needs."""
    body = page.split("</style>", 1)[1]
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split())


def test_the_page_begins_with_the_question_and_the_answer(swept: Finished, page: str) -> None:
    story = Story.of("sweep", swept.place.folder)

    assert f"<h1>{html.escape(story.about.question)}</h1>" in page
    lead = re.search(r'<p class="lead">(.*?)</p>', page, re.DOTALL)
    assert lead is not None
    assert html.unescape(lead[1]).startswith(say_lead(story))
    assert page.index("<h1>") < page.index('class="lead"') < page.index("<section")


def test_the_answer_is_the_board_s(swept: Finished) -> None:
    """As it was printed at the end of the study."""
    story = Story.of("sweep", swept.place.folder)
    printed = swept.result.stdout
    names = [story.names[key] for key in story.standings.order]
    rows = [line.split()[0] for line in printed.splitlines() if line.split()[:1]]

    assert say_lead(story) in " ".join(printed.split())
    assert [row for row in rows if row in names][: len(names)] == names


def test_every_cell_has_its_row_and_what_failed_its_reason(page: str) -> None:
    words = text_of(page)

    for name in ("byte", "char", "unigram"):
        assert name in words
    assert "infeasible: bpe · seeds 0, 1: vocab_size of the bpe tokenizer must be" in words


def test_the_table_has_the_seeds_and_says_what_the_spread_is(page: str) -> None:
    words = text_of(page)

    assert re.search(r"verdict seeds .* bytes/token", words)
    assert "± is the standard deviation between seeds." in words


def test_what_the_study_was_made_with_can_be_read(swept: Finished, page: str) -> None:
    words = text_of(page)
    story = Story.of("sweep", swept.place.folder)
    config = story.standings.complete[0].config

    assert story.ended is not None
    for said in (
        f"layers {config.model.n_layer} width {config.model.n_embd}",
        f"sequences a step {config.train.batch_size} optimizer {config.optimizer.kind}",
        f"{config.corpus.val_fraction:.0%} of it for validation",
        f"CPU cores {os.cpu_count()}",
        f"last run {story.ended:%Y-%m-%d}",
        "A cell is one combination of settings that was tried",
    ):
        assert said in words


def test_values_of_a_setting_are_listed_and_of_many_the_ends() -> None:
    assert say_values([4, 1, 4, 2]) == "1, 2, 4"
    assert say_values([0.001 * n for n in range(1, 21)]) == "0.001 to 0.02"
    assert say_values(["muon", None, "adamw", math.nan]) == "adamw, muon"
    assert say_values([None]) == ""


def test_the_same_passage_is_shown_for_every_tokenizer(swept: Finished, page: str) -> None:
    found = passages(Story.of("sweep", swept.place.folder))

    assert set(found) == {"byte", "char", "unigram"}
    assert len({passage.text for passage in found.values()}) == 1
    assert page.count('class="who"') == 3 * page.count('class="block"')


def test_the_samples_stand_side_by_side(swept: Finished, page: str) -> None:
    samples = [
        spell_controls(path.read_text("utf-8")) for path in swept.place.folder.rglob("sample.txt")
    ]

    shown = [html.unescape(text) for text in re.findall(r"<pre>(.*?)</pre>", page, re.DOTALL)]
    assert len({*shown} & {*samples}) == 3


def test_the_page_can_be_sent(swept: Finished, page: str) -> None:
    """It is small, loads nothing, has no path of this machine, and says how it is made again."""
    assert len(page.encode()) < 3 * MEGABYTE
    assert "<script" not in page
    assert not re.search(r'(?:src|href)="(?!#|data:)', page)
    assert "python -m bench.study" in page
    assert str(swept.place.folder / "cache") not in page


def test_every_link_of_the_page_leads_to_one_place(page: str) -> None:
    ids = re.findall(r'\bid="([^"]+)"', page)

    assert len({*ids}) == len(ids)
    assert {*re.findall(r'href="#([^"]+)"', page)} <= {*ids}


def test_the_leaderboard_comes_as_csv_and_latex(page: str) -> None:
    assert re.search(r'download="cells\.csv" href="data:text/csv;base64,', page)
    assert re.search(r'download="leaderboard\.tex" href="data:application/x-tex;base64,', page)


def test_the_command_prints_where_it_is(swept: Finished, tmp_path: Path) -> None:
    folder = str(swept.place.folder)
    svg = tmp_path / "pictures"
    done = CliRunner().invoke(main, ["sweep", "--folder", folder, "--svg", str(svg)])

    assert done.exit_code == 0, done.output
    first, *pictures = done.output.split()
    assert Path(first).name == "sweep.html"
    assert Path(first).is_file()
    assert svg / "leaderboard-1.svg" in {Path(path) for path in pictures}
    assert all(Path(path).read_text("utf-8").startswith("<svg") for path in pictures)


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["-o", ""], 2, "--output must name something but got ''"),
        (["--svg", ""], 2, "--svg must name something but got ''"),
        (["--folder", ""], 2, "--folder must name something but got ''"),
        (["-o", "/proc/x.html"], 4, "/proc/x.html must be writable"),
        (["-o", "file/x.html"], 4, "file/x.html must be writable"),
        (["-o", "nowhere/x.html"], 4, "nowhere/x.html must be writable"),
        (["-o", "x" * 300], 4, "must be writable but got: File name too long"),
        (["--svg", "/proc/foo"], 4, "/proc/foo must be writable"),
        (["--svg", "nowhere/foo"], 4, "nowhere/foo must be writable"),
    ],
)
def test_what_can_not_be_written_is_said_in_a_line(
    report: Report,
    options: list[str],
    code: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    monkeypatch.setattr(Report, "of", lambda *_: replace(report, sections=report.sections[:1]))

    done = CliRunner().invoke(main, ["sweep", "-o", "page.html", *options], catch_exceptions=False)

    assert done.exit_code == code
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not Path("nowhere").exists()


def test_a_report_for_stdout_is_all_that_is_there(
    report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Report, "of", lambda *_: replace(report, sections=report.sections[:1]))

    done = CliRunner().invoke(main, ["sweep", "-o", "-", "--svg", str(tmp_path)])

    assert done.stdout.startswith("<!doctype html>")
    assert done.stdout.rstrip().endswith("</html>")
    assert "leaderboard-1.svg" in done.stderr


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        ("mlflow.db", "Of 6 of 6 complete runs nothing is recorded beside the ledger"),
        ("config.json", "The files of 6 of 6 complete runs are not beside the ledger"),
    ],
)
def test_what_a_copy_lacks_is_said(
    swept: Finished, gone: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the page and to whoever makes it; the files of runs go all at once or not at all."""
    copy = tmp_path / "copy"
    shutil.copytree(swept.place.folder, copy, ignore=shutil.ignore_patterns("cache", "tmp", gone))
    if gone != "mlflow.db":
        with closing(sqlite3.connect(copy / "mlflow.db")) as database:
            database.execute("UPDATE runs SET artifact_uri = replace(artifact_uri, 'swept', 'x')")
            database.commit()
    monkeypatch.setattr("bench.report.page._sections", lambda story: [_failures(story)])
    done = CliRunner().invoke(main, ["sweep", "--folder", str(copy)], catch_exceptions=False)

    assert done.exit_code == 0
    assert done.stderr.startswith(f"note: {said}")
    assert done.stderr.count("\n") == 1
    assert said in text_of(Path(done.stdout.strip()).read_text("utf-8"))


def test_a_study_that_has_all_it_needs_lacks_nothing(report: Report, page: str) -> None:
    assert say_lacking(report.story.complete, report.story.folder) == ""
    assert report.story.unfinished == ""
    assert "not finished" not in page


def test_a_study_that_was_stopped_says_so(
    report: Report, open_ledger: Open, ledger_path: Path
) -> None:
    """After one of six runs and in the midst of the second; and when it has come to its end."""
    about, found = replace(report.story.about, looks=(2,)), report.story.standings
    with open_ledger() as ledger:
        [first, second] = (ledger.claim(), ledger.claim())
        assert first is not None
        assert second is not None
        ledger.settle(first, Outcome.COMPLETE, summary=SUMMARY)
        under_way = say_unfinished(about, found, [Ledger.read(ledger_path)])
        ledger.settle(second, Outcome.INTERRUPTED)
    stopped = say_unfinished(about, found, [Ledger.read(ledger_path)])
    with open_ledger() as ledger:
        complete(ledger)

    for said in (under_way, stopped):
        assert said.startswith("This study is not finished: 1 run ended and at least 5 are left")
    assert "The same command goes on" in stopped
    assert say_unfinished(about, found, [Ledger.read(ledger_path)]) == ""
    race = replace(about, looks=(2, 3, 4))  # stopped between two looks
    assert "more are left" in say_unfinished(race, found, [Ledger.read(ledger_path)])
    told = replace(report.story, unfinished=stopped)
    assert stopped in _lead(told)


def test_an_unknown_study_is_refused(swept: Finished) -> None:
    done = CliRunner().invoke(main, ["swoop", "--folder", str(swept.place.folder)])

    assert done.exit_code == 2
    assert "did you mean sweep?" in done.output


def test_a_passage_is_cut_into_lines_that_hold_all_of_it() -> None:
    text = "naïve “words”\n" * 20
    n_bytes = len(text.encode())
    by_byte = Passage(text=text, n_bytes=(1,) * n_bytes, bits_per_byte=(2.0,) * n_bytes)
    whole = Passage(text=text, n_bytes=(n_bytes,), bits_per_byte=(9.0,))

    shown = show_passages({"bytes": by_byte, "<one>": whole})

    lines = re.findall(r'class="who">([^<]*)</span><span class="tokens">(.*?)</span></div>', shown)
    for who in ("bytes, 2.00", "&lt;one&gt;, 9.00"):
        parts = [re.sub(r"<[^>]*>", "", tokens) for name, tokens in lines if name == who]
        assert html.unescape("".join(parts)) == text.replace("\n", "↵")
        assert max(map(len, parts)) <= LINE_CHARACTERS
    assert 'title="9.00 bits/byte"' in shown
    assert ">8+</span>" in shown
