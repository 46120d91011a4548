"""Sessions of `pytest --benchmark-only`, as a user starts them, in a folder of their own."""

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pytest_benchmark.logger import PytestBenchmarkWarning

from bench.micro.conftest import _shows_its_tables, pytest_xdist_auto_num_workers
from bench.micro.report.results import Results
from bench.micro.report.terminal import saved_to
from gpt.device import available_devices

ROOT = Path(__file__).parents[3]

BREAKER = '''
"""A kernel that is fast and wrong, and one that is right."""

import torch
from gpt.attention import KERNELS, Kernel

def wrong(q, k, v, *, scale, dropout_p=0.0):
    return v + 0 * (q + k)

KERNELS["wrong"] = Kernel(name="wrong", attend=wrong)
'''


WORKER = "PYTEST_XDIST_WORKER"
"""By this variable pytest-benchmark knows a worker of pytest-xdist, in which nothing is timed."""


def session(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != WORKER}
    return subprocess.run(
        [sys.executable, "-m", "pytest", str(ROOT / "bench" / "micro"), *arguments],
        cwd=folder,
        env={**environment, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}", "COLUMNS": "120"}
        | {"MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, int]:
    """A recorded session with a wrong kernel among the others: folder, output, exit code."""
    folder = tmp_path_factory.mktemp("session")
    (folder / "breaker.py").write_text(BREAKER)
    done = session(
        folder, "-p", "breaker", "--benchmark-only", "--bench-mlflow", "--bench-device", "cpu",
        "--benchmark-columns=median",
        "-k", "forward-wrong and fp32 or forward-matmul and fp32 and (T64 or T128)",
    )  # fmt: skip
    return folder, done.stdout + done.stderr, done.returncode


@pytest.fixture(scope="module")
def saved(broken: tuple[Path, str, int]) -> dict[str, Any]:
    (path,) = (broken[0] / ".benchmarks").glob("*/*.json")
    content: dict[str, Any] = json.loads(path.read_bytes())
    return content


@pytest.mark.slow
def test_rule_08_a_wrong_kernel_gets_no_time_and_turns_the_session_red(
    broken: tuple[Path, str, int], saved: dict[str, Any]
) -> None:
    _, output, exit_code = broken

    assert exit_code == 1
    assert (
        "wrong gets no time in 'attention forward, fp32, T = 64': its output is off by" in output
    )
    assert {b["extra_info"]["name"] for b in saved["benchmarks"]} == {"matmul"}
    left_out = Results.from_saved(saved).left_out
    assert {left.name for left in left_out} == {"wrong"}
    assert all(left.reason.startswith("wrong: ") for left in left_out)


@pytest.mark.slow
def test_groups_read_as_questions_and_times_have_their_meaning(
    broken: tuple[Path, str, int], saved: dict[str, Any]
) -> None:
    first, second = (b for b in saved["benchmarks"])

    assert "benchmark 'attention forward, fp32, T = 64': 1 tests" in broken[1]
    assert broken[1].index("fp32, T = 64':") < broken[1].index("fp32, T = 128':")
    assert (first["group"], second["group"]) == tuple(
        f"attention forward, fp32, T = {T}" for T in (64, 128)
    )
    info = first["extra_info"]
    assert info["threads"] == 1
    assert 0 < info["share_of_matmul_ceiling"] < 1.2
    assert info["peak_memory_bytes"] > 64 * 64 * 4 * 16  # one T × T matrix for each of 16 heads
    assert len(first["stats"]["data"]) == first["stats"]["rounds"] >= 5
    assert saved["in_turns"] == []  # the other kernel is wrong, so there is nothing to compare


@pytest.mark.slow
def test_the_session_is_one_run_in_mlflow(broken: tuple[Path, str, int]) -> None:
    folder = broken[0]
    with sqlite3.connect(folder / "mlflow.db") as database:
        runs = database.execute(
            "select status, r.name, e.name from runs r join experiments e using (experiment_id)"
        ).fetchall()
        metrics = database.execute("select key, step, value from metrics").fetchall()
        tags = dict(database.execute("select key, value from tags").fetchall())
    database.close()

    ((status, name, experiment),) = runs
    assert (status, experiment) == ("FINISHED", "microbenchmarks")
    assert name.startswith("quick, ")
    times = {(key, step) for key, step, _ in metrics if key.startswith("milliseconds")}
    assert times == {("milliseconds_attention_forward_fp32/matmul", T) for T in (64, 128)}
    assert tags["threads"] == "1"
    assert tags["torch"]
    assert tags["no_time.wrong"].startswith("wrong: its output is off by")
    assert list((folder / "mlruns").rglob("results.json"))
    assert list((folder / "mlruns").rglob("report.html"))


@pytest.mark.slow
def test_a_plain_session_runs_each_once_and_keeps_nothing(tmp_path: Path) -> None:
    done = session(tmp_path, "-k", "causal_mean and fp32", "-q")

    assert done.returncode == 0
    assert "4 passed" in done.stdout
    assert not (tmp_path / ".benchmarks").exists() or not list(
        (tmp_path / ".benchmarks").rglob("*.json")
    )


@pytest.mark.slow
def test_a_session_times_the_answers_in_turns_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """In this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(WORKER, raising=False)
    two_files = [
        str(ROOT / "bench" / "micro" / f"test_{n}.py") for n in ("aggregation", "attention")
    ]
    selected = ["-k", "fp32 and T64 and (flex or causal and (matmul or cumsum))"]

    assert pytest.main([*two_files, "--benchmark-only", *selected, "--bench-device", "cpu"]) == 0

    (path,) = (tmp_path / ".benchmarks").glob("*/*.json")
    [question] = Results.from_saved(json.loads(path.read_bytes())).in_turns
    assert (question.series, question.T, question.device) == ("causal mean, fp32", 64, "cpu")
    assert {name: s.shape[1] for name, s in question.seconds.items()} == {"matmul": 2, "cumsum": 2}
    assert min(seconds.min() for seconds in question.seconds.values()) > 0
    shown = capfd.readouterr().out
    assert "in turns, T = 64: " in shown
    assert " benchmark 'causal mean, fp32, T = 64': 2 tests " not in shown
    lines = shown.splitlines()
    found = lines.index("What was found")
    assert lines[found + 1].startswith("causal mean, fp32: ")
    assert [line for line in lines[found:] if "SKIPPED" in line] == []
    (command,) = (line for line in lines[found:] if "python -m bench.micro report" in line)
    assert Path(command.split()[-1]).samefile(path)
    assert "pytest-benchmark's own tables: add -v" in shown


@pytest.mark.parametrize(("option", "n_workers"), [("only", 0), ("save", 0), ("sort", None)])
def test_what_is_timed_has_no_tests_beside_it(option: str, n_workers: int | None) -> None:
    config = SimpleNamespace(option=SimpleNamespace(**{f"benchmark_{option}": "yes"}))
    assert pytest_xdist_auto_num_workers(cast(pytest.Config, config)) == n_workers


@pytest.mark.parametrize(
    ("arguments", "verbose", "shows"),
    [
        (["--benchmark-only"], 0, False),
        (["--benchmark-only", "--benchmark-save=before"], 0, False),
        (["--benchmark-only"], 1, True),
        (["--benchmark-only", "--benchmark-sort", "median"], 0, True),
        (["--benchmark-compare=0001"], 0, True),
        (["--benchmark-only", "--benchmark-histogram"], 0, True),
    ],
)
def test_the_tables_of_pytest_benchmark_are_shown_when_asked_for(
    arguments: list[str], verbose: int, shows: bool
) -> None:
    config = SimpleNamespace(
        invocation_params=SimpleNamespace(args=arguments), option=SimpleNamespace(verbose=verbose)
    )
    assert _shows_its_tables(cast(pytest.Config, config)) == shows


@pytest.mark.parametrize(
    ("json", "storage", "path"),
    [
        ("mine.json", "file://store", "mine.json"),
        (None, "file://store", "store/machine/2.json"),
        (None, "store", "store/machine/2.json"),
        (None, "file://nothing", None),
        (None, "elasticsearch+http://store", None),
    ],
)
def test_the_summary_names_the_file_of_its_own_session(
    json: str | None,
    storage: str,
    path: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "store" / "machine").mkdir(parents=True)
    for i in (3, 2):
        saved = tmp_path / "store" / "machine" / f"{i}.json"
        saved.touch()
        os.utime(saved, (0, -i))
    option = SimpleNamespace(benchmark_json=json, benchmark_storage=storage)

    found = saved_to(cast(pytest.Config, SimpleNamespace(option=option)))
    assert (found and Path(found)) == (path and Path(path))


@pytest.mark.parametrize(
    ("arguments", "exit_code", "words"),
    [
        (["-k", "nothing"], pytest.ExitCode.NO_TESTS_COLLECTED, " deselected in "),
        (["test_broken.py"], pytest.ExitCode.INTERRUPTED, "No module named 'nobody_wrote_it'"),
    ],
    ids=["nothing selected", "error in collection"],
)
def test_a_session_without_benchmarks_says_why(
    arguments: list[str],
    exit_code: pytest.ExitCode,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """In this process, for neither gets as far as to time anything."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(WORKER, raising=False)
    (tmp_path / "test_broken.py").write_text("import nobody_wrote_it\n")
    one_file = str(ROOT / "bench" / "micro" / "test_aggregation.py")

    with pytest.warns(PytestBenchmarkWarning, match="Not saving anything"):
        assert pytest.main([one_file, "--benchmark-only", *arguments]) == exit_code

    shown = capfd.readouterr()
    assert words in shown.out
    assert "sessionfinish" not in shown.out + shown.err  # where a traceback would come from


@pytest.mark.slow
@pytest.mark.skipif("cuda" in available_devices(), reason="this machine has CUDA")
def test_an_absent_device_is_a_wrong_command(tmp_path: Path) -> None:
    done = session(tmp_path, "--bench-device", "cuda", "--collect-only", "-q")

    assert done.returncode != 0
    assert "device must be one of this machine's (" in done.stdout + done.stderr
