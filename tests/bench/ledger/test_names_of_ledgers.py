"""By which names a study is found again."""

from pathlib import Path

import pytest

from bench.ledger.paths import find_ledger
from gpt.errors import ConfigError


def folder_with(folder: Path, *names: str) -> Path:
    place = folder / "mlruns" / "ledger"
    place.mkdir(parents=True)
    for name in names:
        (place / f"{name}.journal").touch()
    return folder


@pytest.mark.parametrize("ran", ["sweep@don_quixote", "sweep+0123456789ab", "sweep@song+0123"])
def test_a_study_that_was_run_in_one_way_goes_by_its_bare_name(tmp_path: Path, ran: str) -> None:
    """Its parts are no other ways."""
    folder = folder_with(tmp_path, ran, f"{ran}.test-f9b15488c8c9", f"{ran}.finals", "other")

    assert find_ledger("sweep", folder).stem == ran
    assert find_ledger("studies/sweep.py", folder).stem == ran


def test_of_two_ways_the_name_does_not_say_which(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, "sweep@a", "sweep@b")

    with pytest.raises(ConfigError, match="there are: sweep@a, sweep@b"):
        find_ledger("sweep", folder)


@pytest.mark.parametrize("typed", ["dropuot", "dropot", "studies/dropuot.py"])
def test_a_slip_in_the_bare_name_is_guessed(tmp_path: Path, typed: str) -> None:
    folder = folder_with(tmp_path, "dropout+c343541a0b08", "head_sweep")

    with pytest.raises(ConfigError, match=r"did you mean dropout\+c343541a0b08\?"):
        find_ledger(typed, folder)


@pytest.mark.parametrize("name", ["my study \udcf0", "\udcff.journal"])
def test_a_name_that_the_locale_can_not_write_is_refused(tmp_path: Path, name: str) -> None:
    """Even if it is there: what shows it could not write it."""
    with pytest.raises(ConfigError, match="set PYTHONUTF8=1") as refusal:
        find_ledger(name, folder_with(tmp_path, name.removesuffix(".journal")))
    str(refusal.value).encode("ascii")


def test_the_study_s_own_settings_come_first(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, "sweep", "sweep@a")

    assert find_ledger("sweep", folder).stem == "sweep"
