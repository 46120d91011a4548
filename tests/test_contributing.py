"""CONTRIBUTING's worked examples, applied to a copy of the repository and run there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text("utf-8")

PROBE = '''
from pathlib import Path

import pytest
import torch

from bench.plan.plan import Request, make_plan
from bench.ledger.outcome import Outcome
from bench.run.messages import Finished, Folders, Train
from bench.run.worker import perform
from gpt.attention import KERNELS
from gpt.attention.verify import verify
from gpt.config import CorpusConfig
from gpt.corpora import load_corpus
from gpt.errors import DataError

VERSE = (
    "{0} bottles of “beer” on the wall, {0} bottles of “beer”. Take one down, pass it around.\\n"
)
TINY = "kernel=einsum n_layer=1 n_embd=16 block_size=16 steps=2 device=cpu"


def write(folder: Path, text: str) -> Path:
    (folder / "bottles.txt").write_text(text, "utf-8", newline="")
    return folder


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_the_kernel_is_right(dtype: torch.dtype) -> None:
    verdict = verify(KERNELS["einsum"], "cpu", dtype)
    assert verdict.right, verdict.reason
    assert len(verdict.errors) == 4


def test_the_corpus_is_known_by_its_checksum(tmp_path: Path) -> None:
    config, cache = CorpusConfig(name="bottles"), tmp_path / "cache"
    corpora_dir = write(tmp_path, "another text\\n" * 99)
    with pytest.raises(DataError, match="must have SHA-256"):
        load_corpus(config, corpora_dir=corpora_dir, cache=cache)
    write(tmp_path, "".join(map(VERSE.format, range(99, 0, -1))))
    assert load_corpus(config, corpora_dir=corpora_dir, cache=cache).name == "bottles"


def test_the_study_is_planned_and_a_run_of_it_trains(tmp_path: Path) -> None:
    """With the tokenizer, the kernel and the corpus of the other examples."""
    corpora_dir = write(tmp_path, "".join(map(VERSE.format, range(99, 0, -1))))
    overrides = dict(setting.split("=") for setting in TINY.split())
    plan = make_plan(Request(study="words", overrides=overrides))
    assert plan.description == "Do words learn more than bytes from the same text?"
    configs = {cell.config.tokenizer.kind: cell.config for cell in plan.grid.cells}
    assert (list(configs), plan.n_runs) == (["byte", "words"], 6)
    messages: list[object] = []
    folders = Folders(cache=tmp_path / "cache", corpora_dir=corpora_dir)
    task = Train(config=configs["words"], folders=folders, folder=tmp_path / "run")
    perform(task, lambda message: messages.append(message) is None)
    assert isinstance(messages[-1], Finished)
    assert messages[-1].outcome is Outcome.COMPLETE, messages[-1].reason
'''


def apply(diff: str, root: Path) -> None:
    """Change files under `root`, each named after `---`, as the lines with `-` and `+` say.

    A line without them says where: it must stand in the file, in one place, as must one with `-`.
    """
    for name, changes in re.findall(r"^--- (.+)\n((?:(?!--- ).*\n)+)", diff, flags=re.MULTILINE):
        lines, place = (root / name).read_text("utf-8").splitlines(), 0
        for change in changes.splitlines():
            sign, line = change[0], change[1:]
            if sign == "+":
                lines.insert(place, line)
                place += 1
                continue
            found = [i for i, other in enumerate(lines) if other == line]
            after = [i for i in found if i == place] or found
            assert len(after) == 1, f"{name} must have this line in one place: {line}"
            place = after[0] + (sign == " ")
            if sign == "-":
                del lines[place]
        (root / name).write_text("\n".join([*lines, ""]), "utf-8")


@pytest.fixture
def changed(tmp_path: Path) -> Path:
    """A copy of the repository with all examples in it."""
    root = tmp_path / "repository"
    root.mkdir()
    for folder in ("gpt", "bench", "studies", "tests"):
        shutil.copytree(ROOT / folder, root / folder)
    for file in ("conftest.py", "pyproject.toml"):
        shutil.copy(ROOT / file, root)
    modules = re.findall(r"```python\n# (\S+)\n(.+?)```", TEXT, flags=re.DOTALL)
    diffs = re.findall(r"```diff\n(.+?)```", TEXT, flags=re.DOTALL)
    assert (len(modules), len(diffs)) == (3, 3) == (TEXT.count("```python"), TEXT.count("```diff"))
    for name, code in modules:
        assert not (root / name).exists()
        (root / name).write_text(code, "utf-8")
    for diff in diffs:
        apply(diff, root)
    (root / "tests" / "test_examples.py").write_text(PROBE, "utf-8")
    return root


@pytest.mark.slow
def test_the_examples_work_as_they_stand(changed: Path) -> None:
    """The tokenizer's contract, the kernel's name and check, the corpus, the study and a run."""
    tests = [
        "tests/test_examples.py",
        "tests/gpt/tokenizers/test_tokenizers.py",
        "tests/gpt/attention/test_attention.py",
    ]
    chosen = "test_examples or words or knows_every_kernel or worked_example"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", chosen, *tests],
        cwd=changed,
        env=os.environ | {"PYTHONPATH": str(changed)},
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stdout + done.stderr
