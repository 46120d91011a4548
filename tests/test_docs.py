"""The documents, held to the code: what they name is there, and what is there is named."""

import re
import socket
from pathlib import Path

import pytest

from bench.cells.catalog import all_studies
from bench.cells.settings import settle
from bench.ledger.outcome import Outcome
from bench.plan.plan import Request, make_plan
from bench.run.messages import Finished, Folders, Train
from bench.run.worker import perform
from bench.study import main
from gpt.cache import default_cache
from gpt.corpora import CORPORA_VARIABLE

ROOT = Path(__file__).parents[1]
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "mlruns" / "README.md"]
STUDIES = [study.path for study in all_studies()]
README = (ROOT / "README.md").read_text("utf-8")


def test_the_study_table_is_the_list_of_studies() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", README, flags=re.MULTILINE)
    assert sorted(rows) == [(study.name, study.question) for study in all_studies()]


@pytest.mark.slow
def test_the_study_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an empty folder and without a network; smaller, and for two steps."""
    (code,) = re.findall(r"```python\n(.+?)```", README, flags=re.DOTALL)
    (tmp_path / "mine.py").write_text(code, "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(CORPORA_VARIABLE, "")
    monkeypatch.setattr(socket, "create_connection", _no_network)
    monkeypatch.setattr(socket.socket, "connect", _no_network)
    tiny = "kernel=sdpa n_layer=1 n_embd=16 steps=2 evaluations=1 val_fraction=0.001 device=cpu"
    settings = dict(setting.split("=") for setting in tiny.split())
    plan = make_plan(Request(study="mine.py", overrides=settings))
    assert [cell.config.model.n_head for cell in plan.grid.cells] == [1, 2, 4]
    folders = Folders(cache=default_cache(), corpora_dir=None)
    config = plan.grid.cells[0].config
    messages: list[object] = []
    task = Train(config=config, folders=folders, folder=tmp_path / "run")
    perform(task, lambda message: messages.append(message) is None)

    last = messages[-1]
    assert isinstance(last, Finished)
    assert last.outcome is Outcome.COMPLETE, last.reason


def test_what_the_documents_type_is_there() -> None:
    """Studies by their names, and settings that a config takes."""
    today = [path for path in (*DOCUMENTS, *STUDIES) if "log" not in path.name.lower()]
    text = "".join(path.read_text("utf-8") for path in today)
    names = set(re.findall(r"bench\.study ([a-z_]+)(?![\w.])", text))
    settings = re.findall(r"--set ([a-z_]+)=([\w.]+)", text)
    assert "tokenizer_sweep" in names
    assert names <= {study.name for study in all_studies()}
    assert len(settings) > 5
    for name, value in settings:
        settle({name: value})


def _no_network(*_: object, **__: object) -> None:
    raise AssertionError("an example must not need a network")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)", document.read_text("utf-8")):
        assert (document.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_the_files_that_it_names_are_there(document: Path) -> None:
    """A path from the root to a file or folder of ours, in backticks."""
    text = document.read_text("utf-8")
    for path in re.findall(r"`((?:bench|gpt|studies|tests|docs)/[\w/.-]*)", text):
        assert (ROOT / path).exists(), path


def test_every_option_is_documented() -> None:
    text = README + "".join(path.read_text("utf-8") for path in (ROOT / "docs").glob("*.md"))
    options = [name for parameter in main.params for name in parameter.opts if name[:2] == "--"]
    missing = [name for name in options if name not in text]
    assert not missing


def test_ci_runs_the_readmes_test_command() -> None:
    (command,) = re.findall(r"^    (pip install .+ && pytest)$", README, flags=re.MULTILINE)
    assert f"\n{command}\n" in (ROOT / ".ci" / "run").read_text("utf-8")
