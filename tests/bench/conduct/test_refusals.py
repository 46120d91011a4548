"""What is wrong with a command: one or two lines, an exit code, and nothing is left behind."""

import sys

import pytest
from click.testing import Result
from workplace import Workplace

from gpt.corpora import CORPORA_VARIABLE
from gpt.device import available_devices

ABSENT = next(device for device in ("mps", "cuda") if device not in available_devices())


def refused(place: Workplace, result: Result, exit_code: int, *words: str) -> None:
    """One or two lines on stderr, no traceback, and no trace of a run."""
    assert result.exit_code == exit_code, result.output
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.splitlines()) <= 2, result.stderr
    assert result.stdout == ""
    for word in words:
        assert word in result.stderr
    assert {path.name for path in place.folder.iterdir()} & {"mlflow.db", "mlruns"} == set()


@pytest.mark.parametrize(
    ("arguments", "exit_code", "words"),
    [
        ([], 2, ["name one study", "--list"]),
        (["tokeniser_sweep"], 2, ["did you mean tokenizer_sweep?", "--list"]),
        (["xyzzy"], 2, ["no study is called 'xyzzy'", "--list"]),
        (["nowhere.py"], 2, ["nowhere.py"]),
        (["smoke", "--from-run", "abc"], 2, ["--from-run"]),
        (["smoke", "--set", "n_heads=2"], 2, ["'n_heads'", "did you mean n_head?"]),
        (["smoke", "--set", "n_head"], 2, ["KEY=VALUE"]),
        (["smoke", "--set", "batch_size=1e3"], 2, ["batch_size takes int but got 1e3"]),
        (["smoke", "--set", "bias=false"], 2, ["bias takes bool but got false", "True or False"]),
        (["smoke", "--set", "tokenizer=byte"], 2, ["can't fix what the study varies"]),
        (["smoke", "--set", "n_embd=-8"], 2, ["n_embd must be at least 1 but got -8"]),
        (["smoke", "--set", "n_embd=33"], 2, ["divisible by n_head but got 33 and 2"]),
        (["smoke", "--set", "seed=5"], 2, ["can't fix the seed", "--seeds"]),
        (["smoke", "--set", "n_layer=2", "--set", "n_layer=4"], 2, ["n_layer=2 and n_layer=4"]),
        (["smoke", "--set", "n_layer=2", "--set", "model.n_layer=4"], 2, ["set n_layer once"]),
        (["smoke", "--corpus", "pydocs", "--set", "corpus=x"], 2, ["--corpus pydocs and --set"]),
        (["smoke", "--device", "cpu", "--set", "device=cpu"], 2, ["say the same: keep one"]),
        (["smoke", "--budget", "steps=5", "--set", "tokens=7"], 2, ["--budget", "--set tokens=7"]),
        (["smoke", "--plan", "--budget", "steps=abc"], 2, ["steps takes int or None but got abc"]),
        (["smoke", "--budget", "steps=5", "--budget", "flops=0"], 2, ["positive", "0 flops"]),
        (["smoke", "--set", "measure_test=True"], 2, ["needs a test part"]),
        (["tokenizer_sweep", "--set", "measure_test=True"], 2, ["measure_test", "no test any"]),
        (["vocab_sweep", "--set", "tokenizer=char"], 2, ["tokenizer=char", "vocab_size"]),
        (["smoke", "--corpus", ""], 2, ["--corpus must name something"]),
        (["smoke", "--corpora-dir", ""], 2, ["--corpora-dir must name something"]),
        (["--from-run", ""], 2, ["--from-run must name something"]),
        ([""], 2, ["STUDY must name something"]),
        (["x" * 300], 2, ["no study is called 'xxx"]),
        ([f"{'x' * 300}.py"], 2, ["a study's file must exist but got xxx"]),
        (["smoke", "--corpus", "x" * 300], 2, ["'xxx", "existing path"]),
        (["smoke", "--device", ABSENT], 4, [f"but got {ABSENT}", "cpu"]),
        (["smoke", "--corpus", "nowhere.txt"], 2, ["'nowhere.txt'", "pydocs"]),
        (["smoke", "--corpora-dir", "nowhere", "--corpus", "don_quixote"], 2, ["--corpora-dir"]),
        (["smoke", "--matters", "5"], 2, ["matters must be between 0 and 1", "5"]),
        (["smoke", "--address", "auto"], 2, ["--executor ray"]),
        (["smoke", "--executor", "ray", "--address", "here"], 2, ["HOST:PORT", "'here'"]),
        (["smoke", "--executor", "ray", "--address", "127.0.0.1:1"], 4, ["Ray cluster at"]),
    ],
)
def test_what_is_wrong_with_a_command_is_said_before_anything_is_made(
    bare: Workplace, arguments: list[str], exit_code: int, words: list[str]
) -> None:
    refused(bare, bare.run(*arguments), exit_code, *words)


def test_without_ray_its_executor_is_refused_with_how_to_install_it(
    bare: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "bench.run.ray_executor", None)
    result = bare.run("smoke", "--executor", "ray", "--address", "auto")
    refused(bare, result, 4, "pip install -e '.[ray]'")


def test_a_choice_that_click_knows_is_click_s_to_refuse(bare: Workplace) -> None:
    result = bare.run("smoke", "--device", "tpu")
    assert result.exit_code == 2
    assert "tpu" in result.stderr


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ["empty"]),
        (b" \n\t\r\n " * 50, ["white space"]),
        (b"fine so far \xff and on" * 50, ["UTF-8", "12"]),
        (b"short", ["16"]),
    ],
)
def test_a_text_that_can_not_be_used_ends_it_before_any_run(
    bare: Workplace, content: bytes, words: list[str]
) -> None:
    (bare.folder / "bad.txt").write_bytes(content)
    study = bare.write()
    refused(bare, bare.run(study, "--corpus", "bad.txt"), 3, *words)


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("raise ValueError('no luck')", ["bad.py:22", "ValueError", "no luck"]),
        ("return 5", ["bad.py", "RunConfig", "int"]),
        (
            "choose(trial, 'a', [1, 2])\nreturn choose(trial, 'a', [3, 4])",
            ["bad.py:23", "dynamic value space"],
        ),
        ("return replace(BASE, model=ModelConfig(n_layer=0))", ["n_layer", "0"]),
        ("return (", ["bad.py", "SyntaxError"]),
        ("import sys\nsys.exit()", ["bad.py:23: a study must not end the program"]),
        ("return replace(BASE, model=ModelConfig(bias=1))", ["bad.py:22: bias must be bool"]),
        ("choose(trial, 'a', [1, True])", ["bad.py:22: ", "'a'", "1 and True are equal"]),
    ],
)
def test_a_wrong_study_is_named_with_its_line(
    bare: Workplace, cell: str, words: list[str]
) -> None:
    refused(bare, bare.run(bare.write("bad", cell=cell)), 2, *words)


def test_a_file_without_a_study_is_refused(bare: Workplace) -> None:
    (bare.folder / "bad.py").write_text("study = 5")
    refused(bare, bare.run("bad.py"), 2, "bad.py", "study = Study(...)", "int")


def test_debug_shows_where_it_was_raised(bare: Workplace) -> None:
    """Beside the same words, and with the same exit code."""
    result = bare.run("xyzzy", "--debug")
    assert result.exit_code == bare.run("xyzzy").exit_code == 2
    assert "Traceback" in result.stderr
    assert "error: no study is called" in result.stderr


def test_what_a_search_ranks_must_be_fair(bare: Workplace) -> None:
    cell = """
kind = choose(trial, "tokenizer", ["char", "byte"])
return replace(BASE, tokenizer=TokenizerConfig(kind=kind))
"""
    study = bare.write("unfair", cell=cell, options='metric="val_loss"')
    refused(bare, bare.run(study), 2, "val_loss", "val_bits_per_byte")


@pytest.mark.slow
def test_without_a_network_one_line_names_the_way_out(bare: Workplace) -> None:
    """In a process of its own, for the workers' environment is that of their server."""
    closed = {"HTTPS_PROXY": "http://127.0.0.1:1", CORPORA_VARIABLE: ""}
    process = bare.start("smoke", "--corpus", "tinyshakespeare", **closed)
    stdout, stderr = process.communicate(timeout=300)
    assert (process.returncode, stdout) == (3, "")
    assert stderr.startswith("error: tinyshakespeare.txt must be downloaded")
    assert len(stderr.splitlines()) == 2
    assert "--corpora-dir" in stderr
    assert "pydocs" in stderr
    assert not (bare.folder / "mlruns").exists()


def test_a_store_that_can_not_be_written_is_found_before_training(
    bare: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///song.txt/mlflow.db")
    result = bare.run(bare.write())

    assert result.exit_code == 4
    assert "song.txt/mlflow.db" in result.stderr
    assert len(result.stderr.splitlines()) == 2
    assert not list(bare.temporary.iterdir())
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert bare.entries() == []
