"""What a person finds who starts `python -m bench.ui` and follows the links that it prints."""

import html
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner
from mlflow.entities import Run
from mlflow.tracking import MlflowClient
from workplace import Finished

from bench.ledger.ledger import Ledger
from bench.ledger.paths import ledger_path
from bench.record.tracking import TAG_COLOUR, Tracker
from bench.ui import main

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), "")
PAGES = ("leaderboard", "curves", "report")


@dataclass(frozen=True)
class Served:
    """A server that was started by the command, and what a browser showed."""

    links: dict[str, str]
    pages: dict[str, str]
    """Name of a page -> its document when all was loaded; a launch's own page is `launch`."""

    port_wanted: int


@pytest.fixture(scope="module")
def folder(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of a folder where a study was run to its end, whose launch gets another report."""
    copy = tmp_path_factory.mktemp("copy") / "finished"
    shutil.copytree(
        finished.place.folder, copy, ignore=shutil.ignore_patterns("cache", "tmp"), symlinks=True
    )
    report = tmp_path_factory.mktemp("report")
    (report / "report.html").write_text("<h1>The report</h1>", "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(copy)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        ledger = Ledger.read(ledger_path("tiny")).id
        Tracker("tiny", "Does a head more sing better?").attach_report(ledger, "", report)
    return copy


@pytest.fixture(scope="module")
def served(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    if not CHROMIUM:
        pytest.skip("none of the browsers is installed: " + ", ".join(BROWSERS))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        wanted = taken.getsockname()[1]
        command = [sys.executable, "-m", "bench.ui", "tiny", "--no-browser", "--port", str(wanted)]
        ui = subprocess.Popen(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
        )
        try:
            assert ui.stdout
            printed = list(iter(ui.stdout.readline, "Ctrl-C ends it.\n"))
            links = dict(re.findall(r"^  (\w+) +(http\S+)$", "".join(printed), re.MULTILINE))
            launch = re.sub(r"/artifacts/[^?]*", "", links["report"])
            profiles = tmp_path_factory.mktemp("profiles")
            pages = _dump(links | {"launch": launch}, profiles)
            yield Served(links, pages, wanted)
        finally:
            ui.send_signal(signal.SIGINT)
            _, said = ui.communicate(timeout=120)
    assert ui.returncode == 130
    assert said.endswith("Stopped.\n")
    assert "Traceback" not in said
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", _port(links["report"]))).close()


def _port(link: str) -> int:
    return int(link.split("/")[2].partition(":")[2])


def _dump(links: dict[str, str], profiles: Path) -> dict[str, str]:
    """The documents behind links, loaded side by side."""
    browsers = {
        name: subprocess.Popen(
            [
                CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
                f"--user-data-dir={profiles / name}", "--window-size=1280,1600",
                "--virtual-time-budget=60000", "--dump-dom", link,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
        )
        for name, link in links.items()
    }  # fmt: skip
    try:
        return {
            name: html.unescape(browser.communicate(timeout=400)[0])
            for name, browser in browsers.items()
        }
    finally:
        for browser in browsers.values():
            browser.kill()


@pytest.mark.slow
def test_the_links_are_those_of_the_free_port_that_was_taken(served: Served) -> None:
    assert set(served.links) == set(PAGES)
    ports = {_port(link) for link in served.links.values()}
    assert len(ports) == 1
    assert served.port_wanted not in ports


@pytest.mark.slow
def test_the_leaderboard_shows_each_run_with_its_result_and_cost(
    served: Served, folder: Path
) -> None:
    page = served.pages["leaderboard"]
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    found = _runs(client)
    assert len(found) == 4
    for run in found:
        for shown in (str(run.info.run_name), run.data.tags["result"], run.data.tags["cost"]):
            assert f">{shown}<" in page
    heads = re.findall(r'role="columnheader"[^>]*col-id="([^"]+)"[^>]*left: (\d+)px', page)
    order = [column for column, _ in sorted(heads, key=lambda head: int(head[1]))]
    wanted = ["tags.`result`", "params.`tokenizer`", "tags.`cost`"]
    assert [column for column in order if column in wanted] == wanted
    right = re.search(r'col-id="params.`tokenizer`"[^>]*left: (\d+)px; width: (\d+)px', page)
    assert right
    assert sum(map(int, right.groups())) < 1280 - 945  # beside the side bars and the names


@pytest.mark.slow
def test_the_curves_are_drawn_against_bytes_and_seconds_in_a_colour_a_cell(
    served: Served, folder: Path
) -> None:
    page = served.pages["curves"]
    for title in ("val_part/bpb", "mean/bytes", "mean/seconds", "final/bpb"):
        assert f">{title}<" in page, title
    assert ">final/tokens_s vs. final/bpb<" in page
    assert page.count(">val_part/bpb<") >= 2
    for cell in ("n_head 1", "n_head 2"):
        assert re.search(rf">{cell}[ \u200b]*\(val_part/bpb\)<", page)
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    colours = {run.data.tags[TAG_COLOUR] for run in _runs(client)}
    assert len(colours) == 2
    for colour in colours:
        red, green, blue = bytes.fromhex(colour[1:])
        assert f"stroke: rgb({red}, {green}, {blue})" in page


@pytest.mark.slow
def test_the_launch_opens_on_the_report_which_is_shown(served: Served) -> None:
    launch, report = served.pages["launch"], served.pages["report"]
    page = served.links["report"].partition("/#")[2]
    [link] = re.findall(
        r'<a[^>]* href="#([^"]+)"[^>]*><strong>Open the report</strong></a>', launch
    )
    assert link == page
    assert "n_head 2" in launch
    assert re.search(r'<iframe[^>]* src="blob:[^"]+"[^>]*class="mlflow-html-iframe"', report)


@pytest.mark.parametrize(
    ("study", "says"),
    [("tinny", "did you mean tiny?"), (None, "mlflow.db is not there"), ("tiny", "is not there")],
)
def test_what_cannot_be_shown_is_refused(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    study: str | None,
    says: str,
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    if study == "tiny":  # its ledger without MLflow's database
        shutil.copytree(folder / "mlruns" / "ledger", tmp_path / "mlruns" / "ledger")
    monkeypatch.chdir(folder if study == "tinny" else tmp_path)
    result = CliRunner().invoke(main, [study] if study else [])
    assert result.exit_code == 2
    assert says in result.stderr
    assert result.stderr.count("\n") <= 2


def test_a_server_s_own_pages_are_named_and_nothing_is_started(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://team:secret@there.example:80")
    result = CliRunner().invoke(main, ["--no-browser"])
    assert result.exit_code == 0, result.output
    assert "http://there.example:80/#/experiments/" in result.stdout.replace("team:***@", "")
    assert "secret" not in result.output


def _runs(client: MlflowClient) -> list[Run]:
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id], "tags.`gpt_bench.role` = 'run'"))
