"""What a report gathers from the ledgers of a search and of its finals."""

from pathlib import Path

import pytest
from boards import APART, ended, runs
from ledgers import Open, claims

from bench.ledger.outcome import Outcome
from bench.plan.about import ABOUT_NOTE, About
from bench.report.page import Report
from bench.report.story import Story
from bench.results.board import board_of

ABOUT = About(
    title="hunt", name="hunt", question="Which?", description="", metric="val_loss",
    matters=0.25, command="python -m bench.study hunt", params={},
)  # fmt: skip


@pytest.fixture
def hunt(open_ledger: Open, ledger_path: Path, tmp_path: Path) -> Path:
    """The folder of a search, of which the last point failed, and of its finals."""
    folder = tmp_path / "mlruns" / "ledger"
    folder.mkdir(parents=True)
    found = runs(APART, 1)
    for name, entries in (
        ("hunt", ended(found, Outcome.FAILED, "worst", 0)),
        ("hunt.finals", found),
    ):
        with open_ledger(seeds=1) as ledger:
            for claim, entry in zip(claims(ledger), entries, strict=True):
                reason = "it broke" if entry.outcome is Outcome.FAILED else ""
                ledger.settle(
                    claim, entry.outcome, reason=reason, facts=entry.facts, summary=entry.summary
                )
            if name == "hunt":
                ledger.note(ABOUT_NOTE, ABOUT.to_note())
        ledger_path.rename(folder / f"{name}.journal")
    return tmp_path


@pytest.mark.parametrize("name", ["hunt", "hunt.finals"])
def test_finals_are_ranked_by_what_ranks_their_search(hunt: Path, name: str) -> None:
    board = board_of(name, hunt)

    assert board.ledger.part == "finals"
    assert (board.standings.metric, board.standings.rule.matters) == ("val_loss", 0.25)
    assert board.title == "hunt"


def test_what_failed_in_a_search_is_told_beside_its_finals(hunt: Path) -> None:
    story = Story.of("hunt", hunt)
    assert story.standings.metric == "val_loss"

    with (
        pytest.warns(UserWarning, match="nothing is recorded beside the ledger"),
        pytest.warns(UserWarning, match="no recorded curve"),
    ):
        sections = {section.name: section for section in Report.of("hunt", hunt).sections}
    failed = sections["failed"]
    assert failed.paragraphs == ["What is not complete, and why:"]
    assert "it broke" in failed.content[0]
