"""The file under a ledger outlives kills, second launches and --fresh; damage is named."""

import errno
import os
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from ledgers import ALL, GRID, SUMMARY, Open, complete, name
from optuna.trial import TrialState

from bench.ledger.ledger import Ledger
from bench.ledger.outcome import Outcome
from gpt.errors import ConfigError, MachineError


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
        b"\n",
        b'{"op_code": 8, "worker\n',
        b'{"op_code":2,"worker_id":"a","study_id":0,"user_attr":{"id":"b"}}\n',
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
    with pytest.raises(MachineError, match="restore it from a copy; the runs") as reading:
        Ledger.read(ledger_path)  # by commands that have no such option
    assert "--fresh" not in str(reading.value)
    assert str(ledger_path) in str(refusal.value)
    assert str(refusal.value).count("\n") == 1
    assert ledger_path.read_bytes() == content

    with open_ledger(fresh=True) as ledger:
        assert complete(ledger) == ALL
    assert content in [file.read_bytes() for file in ledger_path.parent.glob("study.*.journal")]


def test_no_line_of_a_ledger_can_be_removed_changed_or_added(
    open_ledger: Open, ledger_path: Path
) -> None:
    """Wherever it stands; of what stands last, MLflow knows (see test_store)."""
    with open_ledger(replace(GRID, seeds=1)) as ledger:
        complete(ledger)
    lines = ledger_path.read_bytes().splitlines(keepends=True)
    for i, line in enumerate(lines):
        changed = line.replace(b"2.0", b"1.0").replace(b'"op_code":8', b'"op_code":9')
        damaged = [[*lines[:i], line, *lines[i:]]]
        damaged += [[*lines[:i], *lines[i + 1 :]]] if i < len(lines) - 1 else []
        damaged += [[*lines[:i], changed, *lines[i + 1 :]]] if changed != line else []
        for content in map(b"".join, damaged):
            ledger_path.write_bytes(content)
            with pytest.raises(MachineError, match=f"is not: line ({i + 1}|{i + 2}) "):
                Ledger.read(ledger_path)
            with pytest.raises(MachineError, match="--fresh"), open_ledger():
                pass
            assert ledger_path.read_bytes() == content


@pytest.mark.parametrize(
    ("attribute", "value", "words"),
    [
        ("outcome", "finished", "trial 0 has the unknown outcome 'finished'"),
        ("config", "{", "trial 0 has not a run's config"),
        ("config", '{"model": {"n_heads": 2}}', "trial 0 has not a run's config: model.n_heads"),
        ("config", 5, "trial 0 has"),
    ],
)
def test_what_a_ledger_says_of_a_run_is_checked_where_it_is_read(
    open_ledger: Open, ledger_path: Path, attribute: str, value: object, words: str
) -> None:
    """As another version may have written it: each line whole."""
    with open_ledger() as ledger:
        claim = ledger.claim()
        assert claim
        claim.trial.set_user_attr(attribute, value)
    content = ledger_path.read_bytes()
    for use in (lambda: Ledger.read(ledger_path), open_ledger().__enter__):
        with pytest.raises(MachineError, match=f"{ledger_path} is not: {words}") as refusal:
            use()
        assert str(refusal.value).count("\n") == 1
    assert ledger_path.read_bytes() == content


def test_a_run_that_ended_without_a_word_of_its_end_is_damage(open_ledger: Open) -> None:
    with open_ledger() as ledger:
        claim = ledger.claim()
        assert claim
        claim.trial.study.tell(claim.trial, state=TrialState.FAIL)
    with pytest.raises(MachineError, match="trial 0 lacks its outcome, reason"), open_ledger():
        pass


def test_a_ledger_of_an_earlier_version_is_gone_on_with(
    open_ledger: Open, ledger_path: Path
) -> None:
    """Its lines bear no digests; what is written after them seals them."""
    with open_ledger(seeds=1) as ledger:
        complete(ledger)
    plain = re.sub(rb',"follows":"\w+"', b"", ledger_path.read_bytes())
    ledger_path.write_bytes(plain)
    with open_ledger(seeds=2) as ledger:
        assert complete(ledger) == ALL[3:]
    content = ledger_path.read_bytes()
    assert content.startswith(plain)
    ledger_path.write_bytes(content.replace(b"2.0", b"1.0", 1))
    with pytest.raises(MachineError, match="was removed or changed"):
        Ledger.read(ledger_path)


def test_half_a_line_is_cut_when_the_next_is_written_and_by_no_reader(
    open_ledger: Open, ledger_path: Path
) -> None:
    with open_ledger() as ledger:
        complete(ledger)
    whole = ledger_path.read_bytes()
    ledger_path.write_bytes(whole + b'{"op_code":4,"wor')
    assert len(Ledger.read(ledger_path).entries) == 6
    assert ledger_path.read_bytes() == whole + b'{"op_code":4,"wor'
    with open_ledger(seeds=3) as ledger:
        assert len(complete(ledger)) == 3
    assert ledger_path.read_bytes().startswith(whole + b'{"op_code":4,"worker_id":')
    assert len(Ledger.read(ledger_path).entries) == 9


def test_a_full_disk_leaves_the_ledger_whole(
    open_ledger: Open, ledger_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with open_ledger() as ledger:
        claim = ledger.claim()
        assert claim
        before = ledger_path.read_bytes()
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(MachineError, match=f"{ledger_path}.*No space left"):
                ledger.settle(claim, Outcome.COMPLETE, summary=SUMMARY)
        assert ledger_path.read_bytes() == before
    with open_ledger() as ledger:
        assert complete(ledger) == ALL


def test_what_another_program_writes_meanwhile_is_not_built_upon(
    open_ledger: Open, ledger_path: Path
) -> None:
    with open_ledger() as ledger:
        with ledger_path.open("ab") as file:
            file.write(b"another\n")
        with pytest.raises(MachineError, match="another program changed it"):
            ledger.claim()


def test_a_ledger_without_a_study_is_read_as_empty(ledger_path: Path) -> None:
    ledger_path.parent.mkdir()
    ledger_path.touch()
    with pytest.raises(MachineError, match=f"{ledger_path} is empty"):
        Ledger.read(ledger_path)
    with pytest.raises(ConfigError, match="is not there"):
        Ledger.read(ledger_path.with_name("x" * 300))


def test_a_ledger_that_can_not_be_made_is_the_machine_s_fault(
    open_ledger: Open, ledger_path: Path
) -> None:
    ledger_path.parent.write_text("a file where a folder should be")
    with pytest.raises(MachineError, match=str(ledger_path.parent)), open_ledger():
        pass


def test_fresh_sets_the_old_ledger_aside_and_loses_nothing(
    open_ledger: Open, ledger_path: Path
) -> None:
    ids = []
    for identity in ({"grid": "1"}, {"grid": "2"}, {"grid": "3"}):  # within one second
        with open_ledger(identity=identity, fresh=True) as ledger:
            assert complete(ledger) == ALL
            assert sorted(ledger.replaced) == sorted(ids)  # all that there were, not the last
            ids.append(ledger.id)
    kept = [file.read_text("utf-8") for file in ledger_path.parent.glob("study*.journal")]
    assert len(kept) == 3
    assert all(sum(f'"id":"{name}"' in text for text in kept) == 1 for name in ids)
