"""`bench.sample` and `bench.tokens`: what recorded runs left is used again, or refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from rich.console import Console
from safetensors.torch import load_file, save_file

from bench import sample, tokens
from bench.record.reading import artifact
from bench.results import load
from bench.results.cuts import Cut, cuts_of, visible
from bench.results.saved import load_saved
from bench.results.saved_tokenizer import load_saved_tokenizer
from bench.system.controls import spell_controls
from gpt.config import RunConfig
from gpt.generate import generate
from gpt.tokenizers import Tokenizer
from gpt.training.evaluate import evaluate_split
from gpt.training.setup import set_up

TEXT = "Take “one”  down,\nid est"


def write(*arguments: object) -> Result:
    words = [str(argument) for argument in arguments]
    return CliRunner().invoke(sample.main, words, catch_exceptions=False)


def cut(*arguments: object) -> Result:
    words = [str(argument) for argument in arguments]
    return CliRunner().invoke(tokens.main, words, catch_exceptions=False)


def ids(folder: Path, cell: str) -> list[str]:
    """The recorded runs of a cell, by seed."""
    runs = load("sweep", folder=folder)
    return [*runs[runs.cell == cell].sort_values("seed").run_id]


def tokenizers(folder: Path) -> dict[str, Tokenizer]:
    return {
        cell: load_saved_tokenizer(ids(folder, cell)[0], folder)
        for cell in ("byte", "char", "unigram")
    }


@pytest.mark.parametrize("cell", ["byte", "char", "unigram"])
def test_the_saved_model_is_the_one_that_was_measured(cell: str, here: Path) -> None:
    """It takes as many bits for the validation text as the run recorded."""
    runs = load("sweep")
    run = runs[runs.cell == cell].iloc[0]

    saved = load_saved(run.run_id)

    config = artifact(run.run_id, "config.json")
    assert config is not None
    setup = set_up(RunConfig.from_json(config.read_text("utf-8")), cache=here / "cache")
    measured = evaluate_split(replace(setup, model=saved.model), "val")
    assert measured.bits_per_byte == pytest.approx(run.val_bits_per_byte, rel=1e-6)
    assert evaluate_split(setup, "val").bits_per_byte > measured.bits_per_byte


def test_a_prompt_is_continued(here: Path) -> None:  # noqa: ARG001
    [run, _] = ids(Path(), "byte")

    first = write(run, "--prompt", "Take “one", "--tokens", 30)

    assert first.exit_code == 0
    assert first.stderr == ""
    saved = load_saved(run)
    prompt = [int(token) for token in saved.tokenizer.encode("Take “one")]
    written = generate(saved.model, prompt, 30, seed=0, keep=saved.model.block_size // 2)
    text = saved.tokenizer.decode([*prompt, *written])
    assert first.stdout == spell_controls(text) + "\n"
    assert write(run, "--prompt", "Take “one", "--tokens", 30).stdout == first.stdout
    assert write(run, "--prompt", "Take “one", "--tokens", 30, "--seed", 1).stdout != first.stdout
    greedy = ["--temperature", 0, "--prompt", "T", "--tokens", 5]
    assert write(run, *greedy).stdout == write(run, *greedy, "--seed", 9).stdout
    assert (
        write(run, *greedy).stdout
        == write(run, "--prompt", "T", "--tokens", 5, "--top-k", 1).stdout
    )


def test_of_a_cell_the_best_run_is_taken(here: Path) -> None:  # noqa: ARG001
    runs = load("sweep")
    char = runs[runs.cell == "char"]
    best = char.loc[char.val_bits_per_byte.idxmin()]
    options = ["--prompt", "Take", "--tokens", 20]

    by_name = write("sweep", "--cell", "char", *options).stdout

    assert by_name == write(best.run_id, *options).stdout
    assert by_name == write("sweep", "--cell", best.cell_key, *options).stdout
    assert {write(run, *options).stdout for run in char.run_id} > {by_name}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["0" * 32], 2, "but got '00000000000000000000000000000000'; studies: sweep"),
        (["../../etc/passwd"], 2, "RUN must be the id of a recorded run"),
        (["sweep"], 2, "add --cell; there are: byte, char, unigram, bpe"),
        (["sweep", "--cell", "bte"], 2, "must have a complete run but got 'bte'; known: byte"),
        (["sweep", "--cell", "bpe"], 2, "must have a complete run but got 'bpe'"),
        (["swep", "--cell", "byte"], 2, "did you mean sweep?"),
        (["sweep", "--cell", "byte", "--prompt", ""], 2, "at least one character but got none"),
        (["sweep", "--cell", "char", "--prompt", "é"], 2, "got 'é' (U+00E9)"),
        (["sweep", "--cell", "byte", "--prompt", "\udcff"], 2, "must be UTF-8"),
        (["\udcff"], 2, "must be UTF-8"),
        (["sweep", "--cell", "\udcff"], 2, "must be UTF-8"),
        (["\udcff", "--cell", "byte"], 2, "must be UTF-8"),
        (["sweep", "--cell", "byte", "--temperature", "nan"], 2, "at least 0 but got nan"),
    ],
)
def test_what_can_not_be_continued_is_refused(
    arguments: list[str],
    code: int,
    said: str,
    here: Path,  # noqa: ARG001
) -> None:
    prompt = [] if "--prompt" in arguments else ["--prompt", "Take"]
    result = write(*arguments, *prompt)
    assert result.exit_code == code
    assert said in result.stderr
    assert result.stderr.count("\n") <= 2
    assert result.stdout == ""


def test_missing_damaged_and_foreign_files_are_refused(
    moved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(moved)
    [one, other] = ids(moved, "byte")
    [char, _] = ids(moved, "char")
    weights = artifact(one, "model.safetensors")
    assert weights is not None

    def refused(said: str) -> None:
        result = write(one, "--prompt", "Take")
        assert result.exit_code == 3, result.output
        assert said in result.stderr
        assert result.stderr.count("\n") <= 2

    whole = weights.read_bytes()
    weights.write_bytes(whole[:-100])
    refused("can't be read")
    foreign = artifact(other, "model.safetensors")
    assert foreign is not None
    weights.write_bytes(foreign.read_bytes())
    refused("but is of")
    key = json.loads(whole[8 : 8 + int.from_bytes(whole[:8], "little")])["__metadata__"]["run"]
    other_shape = artifact(char, "model.safetensors")
    assert other_shape is not None
    save_file(load_file(other_shape), weights, metadata={"run": key})
    refused("can't be read")
    weights.unlink()
    refused("must have model.safetensors among its files")
    config = weights.with_name("config.json")
    config.write_text("{}}", "utf-8")
    refused("must be a run's config")
    weights.with_name("tokenizer").joinpath("tokenizer.json").write_text("[]", "utf-8")
    refused("must be whole but can't be read")
    (moved / "mlflow.db").unlink()
    result = write("sweep", "--cell", "byte", "--prompt", "Take")
    assert (result.exit_code, "must be in MLflow's record" in result.stderr) == (3, True)


def test_each_tokenizer_of_a_study_cuts_the_text(here: Path) -> None:
    cuts = {found.name: found for found in cuts_of("sweep", TEXT)}

    assert [*cuts] == ["byte", "char", "unigram", "bpe"]
    for name, tokenizer in tokenizers(here).items():
        assert len(cuts[name].tokens) == len(tokenizer.encode(TEXT))
        assert b"".join(cuts[name].tokens) == TEXT.encode()
    assert "(infeasible: vocab_size" in cuts["bpe"].remark
    shown = cut(TEXT, "--study", "sweep")
    assert shown.exit_code == 0
    assert f"byte: {len(TEXT.encode())} tokens, 1.00 bytes per token\n" in shown.stdout
    assert f"char: {len(TEXT)} tokens, {len(TEXT.encode()) / len(TEXT):.2f}" in shown.stdout
    assert "T│a│k│e│␣│“│o│n│e│”│␣│␣│d│o│w│n│,│⏎\n│i│d│␣│e│s│t\n" in shown.stdout
    assert "␣│<0xE2>│<0x80>│<0x9C>│o" in shown.stdout


def test_a_text_that_a_tokenizer_lacks_is_said_in_its_row(here: Path) -> None:  # noqa: ARG001
    shown = cut("é", "--study", "sweep")

    assert shown.exit_code == 0
    assert "byte: 2 tokens" in shown.stdout
    assert "char: a char tokenizer without byte_fallback must have seen" in shown.stdout
    assert "unigram: 2 tokens" in shown.stdout


def test_tokenizers_that_are_gone_are_said_in_their_rows(moved: Path) -> None:
    for run in ids(moved, "byte"):
        path = artifact(run, "tokenizer/tokenizer.json", moved)
        assert path is not None
        path.unlink()
    byte, char, *_ = cuts_of("sweep", "Take", moved)
    assert "must have tokenizer/tokenizer.json" in byte.heading
    assert char.tokens == [b"T", b"a", b"k", b"e"]
    (moved / "mlflow.db").unlink()
    byte, *_ = cuts_of("sweep", "Take", moved)
    assert "record of its runs is gone" in byte.heading


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["", "--study", "sweep"], "at least one character but got none"),
        (["\udcff", "--study", "sweep"], "must be UTF-8"),
        (["Take"], "--study names another one"),
    ],
)
def test_what_can_not_be_cut_is_refused(
    arguments: list[str],
    said: str,
    here: Path,  # noqa: ARG001
) -> None:
    result = cut(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr


def test_nothing_invisible_remains_invisible() -> None:
    spelled = {
        b" a": "␣a", b"\t\r": "⇥␍", b"\n": "⏎\n", b"\xe2": "<0xE2>", b"a\xe2": "a<0xE2>",
        "é😀".encode(): "é😀", b"\x1b[31m": "<U+001B>[31m", "\u200b\u202e".encode():
        "<U+200B><U+202E>", "│".encode(): "<U+2502>", "␣".encode(): "<U+2423>", b"\0": "<U+0000>",
    }  # fmt: skip
    assert {token: visible(token) for token in spelled} == spelled


def test_tokens_are_told_apart_by_colour_where_there_is_one() -> None:
    shown = Cut(name="two", tokens=[b"ab", b"ab", b"ab"])

    def text(**options: object) -> str:
        console = Console(width=40, force_terminal=True, **options)  # type: ignore[arg-type]
        with console.capture() as captured:
            console.print(shown)
        return captured.get().splitlines()[1]

    coloured = text(color_system="standard").split("ab")
    assert "│" not in "".join(coloured)
    assert coloured[0] in coloured[2]
    assert coloured[0] not in coloured[1]
    assert text(color_system="standard", no_color=True) == text(color_system=None) == "ab│ab│ab"
