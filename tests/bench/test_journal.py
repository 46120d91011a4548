"""The file under a ledger outlives kills, second launches and --fresh; damage is named."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from ledgers import ALL, GRID, SUMMARY, Open, complete, name

from bench.outcome import Outcome
from gpt.errors import MachineError


def test_a_second_launch_is_refused_while_the_first_is_at_work(
    open_ledger: Open, ledger_path: Path
) -> None:
    with open_ledger() as ledger:
        with (
            pytest.raises(MachineError, match=rf"one launch at a time.*{ledger_path}"),
            open_ledger(),
        ):
            pass
        assert complete(ledger) == ALL
    with open_ledger():
        pass


def test_rule_13_killed_after_any_line_every_run_is_complete_once(
    open_ledger: Open, ledger_path: Path
) -> None:
    """Whatever a kill leaves of the journal, whole lines or torn ones, the next launch goes on."""
    study = replace(GRID, seeds=1)
    with open_ledger(study) as ledger:
        complete(ledger)
    lines = ledger_path.read_bytes().splitlines(keepends=True)
    for i in range(0, len(lines) + 1):
        torn = lines[i][: len(lines[i]) // 2] if i < len(lines) and i % 2 else b""
        ledger_path.write_bytes(b"".join(lines[:i]) + torn)
        ledger_path.with_name(
            f"{ledger_path.name}.lock"
        ).touch()  # the journal's own, left by the kill
        with open_ledger(study) as ledger:
            before = {name(e) for e in ledger.entries() if e.outcome is Outcome.COMPLETE}
            after = complete(ledger)
            assert not before & set(after)
            assert Counter(map(name, ledger.entries())) == Counter(ALL[:3])
            assert {e.outcome for e in ledger.entries()} == {Outcome.COMPLETE}
            assert all(entry.summary == SUMMARY for entry in ledger.entries())
            assert ledger.dropped() == []


@pytest.mark.parametrize(
    "damage",
    [
        b"not a journal",
        b"not a journal\n{}\n",
        b'{"op_code":0}\n',
        b"[1]\n",
        b"\xff\xfe\x00\n{}\n",
        b"\x00\x00\x00",
    ],
)
@pytest.mark.parametrize("where", ["all of it", "its end"])
def test_a_damaged_ledger_is_named_and_left_alone(
    open_ledger: Open, ledger_path: Path, damage: bytes, where: str
) -> None:
    with open_ledger() as ledger:
        complete(ledger)
    content = (ledger_path.read_bytes() if where == "its end" else b"") + damage
    ledger_path.write_bytes(content)

    with pytest.raises(MachineError, match="--fresh") as refusal, open_ledger():
        pass
    assert str(ledger_path) in str(refusal.value)
    assert str(refusal.value).count("\n") == 1
    assert ledger_path.read_bytes() == content

    with open_ledger(fresh=True) as ledger:
        assert complete(ledger) == ALL
    assert content in [file.read_bytes() for file in ledger_path.parent.glob("study.*.journal")]


def test_a_ledger_that_can_not_be_made_is_the_machine_s_fault(
    open_ledger: Open, ledger_path: Path
) -> None:
    ledger_path.parent.write_text("a file where a folder should be")
    with pytest.raises(MachineError, match=str(ledger_path.parent)), open_ledger():
        pass


def test_fresh_sets_the_old_ledger_aside_and_loses_nothing(
    open_ledger: Open, ledger_path: Path
) -> None:
    contents = set()
    for identity in ({"grid": "1"}, {"grid": "2"}, {"grid": "3"}):  # within one second
        with open_ledger(identity=identity, fresh=True) as ledger:
            assert complete(ledger) == ALL
            contents.add(ledger.id)
    kept = [file.read_text("utf-8") for file in ledger_path.parent.glob("study*.journal")]
    assert len(kept) == 3
    assert all(sum(f'"id":"{name}"' in text for text in kept) == 1 for name in contents)
