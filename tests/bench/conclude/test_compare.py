"""`bench.compare`: two cells of a ledger, or of two, and what is refused."""

import re
from pathlib import Path

import pytest
from boards import APART, UNLIKE, ended, runs
from click.testing import CliRunner
from ledgers import GRID, Open, claims

from bench.compare import main
from bench.conclude.looks import look_at
from bench.ledger.ledger import Entry, Ledger
from bench.ledger.outcome import Outcome


def record(
    open_ledger: Open,
    entries: list[Entry],
    seeds: int = 5,
    n_steps: int = 2000,
    *,
    looked: bool = True,
) -> None:
    """Give the three cells of a tiny grid these runs' numbers, and look at them."""
    names = dict(zip(["n_head 1", "n_head 2", "n_head 4"], [*APART], strict=True))
    by_name = {(e.label, e.config.train.seed): e for e in entries}
    with open_ledger(seeds=seeds) as ledger:
        for claim in claims(ledger):
            entry = by_name[names[claim.label], claim.config.train.seed]
            summary = {**entry.summary, "n_steps": n_steps} if entry.summary else {}
            ledger.settle(claim, entry.outcome, facts=entry.facts, summary=summary)
        if looked:
            look_at(ledger, GRID, seeds)


def compare(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    return result.exit_code, " ".join(result.output.split())


def test_two_cells_are_compared_seed_by_seed(open_ledger: Open, ledger_path: Path) -> None:
    record(open_ledger, runs(APART))
    before = ledger_path.read_bytes()

    code, text = compare(ledger_path, "n_head 2", "n_head 1")

    assert code == 0
    assert "seed n_head 2 n_head 1 ahead by" in text
    assert "0 2.1" in text
    assert "n_head 1 is ahead by +0." in text
    assert "(99% interval): n_head 1 is better." in text
    assert "is taken not to matter. Another seed moves a run by about 0.0" in text
    assert ledger_path.read_bytes() == before


def test_a_cell_goes_by_its_key_too(open_ledger: Open, ledger_path: Path) -> None:
    record(open_ledger, runs(APART))
    keys = {entry.label: entry.cell for entry in Ledger.read(ledger_path).entries}

    by_key = compare(ledger_path, keys["n_head 2"], keys["n_head 1"])

    assert by_key == compare(ledger_path, "n_head 2", "n_head 1")


def test_speeds_are_compared_as_ratios(open_ledger: Open, ledger_path: Path) -> None:
    record(open_ledger, runs(APART))

    code, text = compare(ledger_path, "n_head 4", "n_head 1", "--speed")

    assert code == 0
    assert "n_head 4 is better." in text
    assert "21." in text  # 2.3 / 1.9, in percent
    assert "not taken in turn" in text


def test_one_seed_has_no_interval(open_ledger: Open, ledger_path: Path) -> None:
    record(open_ledger, runs(APART, 1), seeds=1)

    code, text = compare(ledger_path, "n_head 1", "n_head 2")

    assert code == 0
    assert "n_head 1 is ahead by +0.1935: undetermined." in text
    assert "99%" not in text
    assert "3 cells need at least 3 seeds each" in text
    assert "have not been judged" not in text


def test_rule_10_what_as_many_seeds_would_have_shown_is_printed(
    open_ledger: Open, ledger_path: Path
) -> None:
    record(open_ledger, runs({"good": 1.9, "bad": 1.905, "worst": 2.3}))

    text = compare(ledger_path, "n_head 1", "n_head 2")[1]

    found = re.search(r"So many mostly show a difference of (0\.\d+), not a smaller one", text)
    assert found is not None
    assert 0.0095 < float(found[1]) < 0.2


def test_a_sure_difference_about_as_large_as_matters_is_said_to_be_one(
    open_ledger: Open, ledger_path: Path
) -> None:
    record(open_ledger, runs({"good": 1.9, "bad": 1.9095, "worst": 2.3}, 9, noise=0.001), 9)

    text = compare(ledger_path, "n_head 1", "n_head 2")[1]

    assert "With 9 paired seeds they differ, though perhaps by less than matters; to tell" in text


def test_it_says_what_the_board_says(open_ledger: Open, ledger_path: Path) -> None:
    """With five seeds, then with six that no board has seen, then with those."""
    record(open_ledger, runs(APART, 5))
    five = compare(ledger_path, "n_head 1", "n_head 2")[1]
    assert "have not been judged" not in five
    ahead = re.compile(r"is ahead by \S+ to \S+ \(99% interval\): n_head 1 is better")
    [said] = ahead.findall(five)

    record(open_ledger, runs(APART, 6), 6, looked=False)
    _, six = compare(ledger_path, "n_head 1", "n_head 2")
    assert "Some of these runs have not been judged" in six
    assert said in six
    with open_ledger(seeds=6) as ledger:
        board = look_at(ledger, GRID, 6)
    _, seen = compare(ledger_path, "n_head 1", "n_head 2")
    assert said in seen  # a verdict once given stands
    assert "have not been judged" not in seen
    assert [look.n_seeds for look in board.looks] == [5, 6]


def test_of_a_search_s_best_it_says_what_their_race_says(
    open_ledger: Open, ledger_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The search itself has one seed of each, and the finals five."""
    folder = ledger_path.parent / "mlruns" / "ledger"
    folder.mkdir(parents=True)
    monkeypatch.chdir(ledger_path.parent)
    record(open_ledger, runs(APART, 1), seeds=1)
    ledger_path.rename(folder / "hunt.journal")
    record(open_ledger, runs(APART))
    ledger_path.rename(folder / "hunt.finals.journal")

    assert "n_head 1 is better." in compare("hunt", "n_head 1", "n_head 2")[1]


def test_its_level_and_what_matters_can_be_asked_for(open_ledger: Open, ledger_path: Path) -> None:
    record(open_ledger, runs(APART))

    def ask(*arguments: str) -> str:
        return compare(ledger_path, "n_head 1", "n_head 2", *arguments)[1]

    assert "(95% interval): n_head 1 is better." in ask("--alpha", "0.05")
    assert "n_head 1 is better" not in ask("--matters", "0.2")
    assert "a tie" in ask("--matters", "0.2")
    assert "matters must be between 0 and 1" in ask("--matters", "3")


def test_a_cell_of_which_a_seed_diverged_is_not_better(
    open_ledger: Open, ledger_path: Path
) -> None:
    record(open_ledger, ended(runs(APART, 8), Outcome.DIVERGED, "good", 3), seeds=8)

    code, text = compare(ledger_path, "n_head 1", "n_head 2")

    assert code == 0
    assert "3 diverged 2.1" in text
    assert "n_head 1 diverged in 1 of 8 seeds: such a cell is not better" in text
    assert "is better." not in text
    _, text = compare(ledger_path, "n_head 2", "n_head 4")
    assert "n_head 2 is better." in text


def test_a_cell_is_compared_with_itself_of_another_ledger(
    open_ledger: Open, ledger_path: Path, tmp_path: Path
) -> None:
    record(open_ledger, runs(APART))
    old = tmp_path / "old.journal"
    old.write_bytes(ledger_path.read_bytes())

    code, text = compare(ledger_path, "n_head 2", "n_head 2", "--against", old)

    assert code == 0
    assert "n_head 2 (1) is ahead by +0.0000 to +0.0000 (99% interval): a tie." in text


def test_runs_of_two_ledgers_with_one_name_are_held_to_one_budget(
    open_ledger: Open, ledger_path: Path, tmp_path: Path
) -> None:
    record(open_ledger, runs(APART))
    old = tmp_path / "old.journal"
    ledger_path.rename(old)
    record(open_ledger, runs(APART), n_steps=1000)

    code, text = compare(ledger_path, "n_head 2", "n_head 2", "--against", old)

    assert code == 2
    assert "n_head 2 (1) · seed 0 had 1,000 and n_head 2 (2) · seed 4 2,000" in text


def test_two_of_unlike_ledgers_are_judged_by_the_seeds_that_they_share(
    open_ledger: Open, ledger_path: Path, tmp_path: Path
) -> None:
    record(open_ledger, runs(APART, 8), 8)
    old = tmp_path / "old.journal"
    ledger_path.rename(old)
    record(open_ledger, runs(APART, 5, noise=0.005), 5)

    text = compare(old, "n_head 1", "n_head 2", "--against", ledger_path)[1]
    assert "n_head 1 (1) is better." in text
    assert "; 4 degrees of freedom)" in text


@pytest.mark.parametrize("against", [[], ["--against"]])
def test_a_cell_compared_with_itself_is_refused_in_a_line(
    open_ledger: Open, ledger_path: Path, against: list[str]
) -> None:
    record(open_ledger, runs(APART))
    more = [*against, str(ledger_path)] if against else []

    result = CliRunner().invoke(main, [str(ledger_path), "n_head 2", "n_head 2", *more])

    assert result.exit_code == 2
    assert result.stderr.startswith("error: a cell can't be compared with itself")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("what", ["corpus", "device", "contention", "libraries"])
def test_unlike_cells_are_refused(open_ledger: Open, ledger_path: Path, what: str) -> None:
    edit, metric, message = UNLIKE[what]
    record(open_ledger, [edit(entry) for entry in runs(APART)])

    code, text = compare(ledger_path, "n_head 1", "n_head 2", "--metric", metric)

    assert code == 2
    assert message in text
    assert compare(ledger_path, "n_head 1", "n_head 4", "--metric", metric)[0] == 0


def test_a_wrong_name_is_met_with_the_right_ones(open_ledger: Open, ledger_path: Path) -> None:
    record(open_ledger, runs(APART))

    assert "known: 'n_head 1', 'n_head 2'" in compare(ledger_path, "n_head 3", "n_head 1")[1]
    assert "ledger must be a file" in compare("nothing.journal", "a", "b")[1]
    assert (
        "have no seconds_to_target"
        in compare(ledger_path, "n_head 1", "n_head 2", "--metric", "seconds_to_target")[1]
    )


def test_a_study_that_was_not_run_here_is_met_with_those_that_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert compare("smoke", "a", "b") == (
        2, "error: no study called 'smoke' was run here; none was run in this folder",
    )  # fmt: skip
    (tmp_path / "mlruns" / "ledger").mkdir(parents=True)
    for name in ("smoke", "tiny@pydocs"):
        (tmp_path / "mlruns" / "ledger" / f"{name}.journal").touch()

    by_path = compare("elsewhere/smoke.py", "a", "b")  # as `bench.study` takes it
    assert by_path == compare("smoke", "a", "b")
    assert compare("smok", "a", "b") == (
        2,
        "error: no study called 'smok' was run here; did you mean smoke? there are: smoke, "
        "tiny@pydocs",
    )


def test_a_ledger_under_a_launch_is_read(open_ledger: Open, ledger_path: Path) -> None:
    with open_ledger() as ledger:
        ledger.settle(ledger.claim(), Outcome.COMPLETE, summary={"val_bits_per_byte": 2.0})
        ledger.claim()  # under way
        with ledger_path.open("a") as file:
            file.write('{"op_code')  # a line half written

        read = Ledger.read(ledger_path).entries
        assert [entry.outcome for entry in read] == [Outcome.COMPLETE]
