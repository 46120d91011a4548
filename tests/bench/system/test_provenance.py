"""A result says what it was made with, and nothing of whose environment it was."""

import json
import subprocess
from pathlib import Path

import pytest
import torch

import gpt
from bench.system import provenance


def test_the_environment_names_code_libraries_and_machine() -> None:
    found = provenance.environment()

    release, _, _ = torch.__version__.partition("+")  # PyPI's metadata leave the build out
    assert found["libraries"]["torch"] in (torch.__version__, release)
    assert found["libraries"]["gpt-bench"] != "absent"
    assert found["code"] == provenance.code_digest()
    assert found["cpu_threads"] >= found["cpu_cores"] >= 1
    assert found["memory_bytes"] > 2**28
    assert json.loads(json.dumps(found)) == found


def test_the_environment_s_variables_stay_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANTED_TOKEN", "xyzzy-4711-plugh")
    assert "xyzzy-4711-plugh" not in json.dumps(provenance.environment())


def test_the_code_s_digest_changes_with_any_of_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpt, "__file__", str(tmp_path / "gpt" / "__init__.py"))
    (tmp_path / "gpt" / "sub").mkdir(parents=True)
    digests = []
    sources = [("a.py", "1"), ("a.py", "2"), ("sub/b.py", "3"), ("sub/c.cpp", "4")]
    for name, text in [*sources, ("d.txt", "5")]:
        (tmp_path / "gpt" / name).write_text(text)
        digests.append(provenance.code_digest.__wrapped__())
    (tmp_path / "gpt" / "a.py").rename(tmp_path / "gpt" / "z.py")
    digests.append(provenance.code_digest.__wrapped__())

    assert len(set(digests)) == 5
    assert digests[3] == digests[4]  # no code
    assert all(len(digest) == 12 for digest in digests)


def test_a_checkout_names_its_commit_and_whether_it_was_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpt, "__file__", str(tmp_path / "gpt" / "__init__.py"))
    assert provenance.git_state.__wrapped__() == {}

    (tmp_path / "code.py").write_text("1")
    me = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    for command in (["init", "-q"], ["add", "."], [*me, "commit", "-qm", "first"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    clean = provenance.git_state.__wrapped__()
    (tmp_path / "code.py").write_text("2")
    dirty = provenance.git_state.__wrapped__()

    assert len(clean["git_commit"]) == 40
    assert clean["git_dirty"] == "false"
    assert dirty == clean | {"git_dirty": "true"}


def test_a_digest_tells_sequences_of_texts_apart() -> None:
    digests = {provenance.digest_of(*texts) for texts in [("a", "b"), ("b", "a"), ("a",), ()]}
    assert len(digests) == 4
