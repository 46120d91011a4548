"""The documents, held to the code: what they name is there, and what is there is named."""

import re
from pathlib import Path

import pytest

from bench.catalog import all_studies
from bench.spec import Study
from bench.study import main

ROOT = Path(__file__).parents[1]
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "mlruns" / "README.md"]
README = (ROOT / "README.md").read_text("utf-8")


def test_the_study_table_is_the_list_of_studies() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", README, flags=re.MULTILINE)
    assert sorted(rows) == [(study.name, study.question) for study in all_studies()]


def test_the_study_of_the_readme_runs() -> None:
    (code,) = re.findall(r"```python\n(.+?)```", README, flags=re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    assert isinstance(names["study"], Study)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)", document.read_text("utf-8")):
        assert (document.parent / target).exists(), target


def test_every_option_is_documented() -> None:
    text = README + "".join(path.read_text("utf-8") for path in (ROOT / "docs").glob("*.md"))
    options = [name for parameter in main.params for name in parameter.opts if name[:2] == "--"]
    missing = [name for name in options if name not in text]
    assert not missing


def test_ci_runs_the_readmes_test_command() -> None:
    (command,) = re.findall(r"^    (pip install .+ && pytest)$", README, flags=re.MULTILINE)
    assert f"\n{command}\n" in (ROOT / ".ci" / "run").read_text("utf-8")
