"""No password leaves the process: whatever form it has, and whichever way out it takes."""

import click
import pytest
from click.testing import CliRunner

from bench.system.redact import is_ambiguous, redacted, redacted_all
from bench.system.refusal import refusals
from gpt.errors import MachineError

SECRET = "xyzzy-4711"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at http://bob:xyzzy-4711@host:5000/a now", "at http://host:5000/a now"),
        ("postgresql://bob:xy/zzy@4711@host/db", "postgresql://host/db"),
        ("postgresql+psycopg2://bob:xyzzy-4711@host", "postgresql+psycopg2://host"),
        ("'http://xyzzy-4711@host'", "'http://host'"),
        ("postgresql://h/db?password=xyzzy-4711&ssl=1", "postgresql://h/db?password=***&ssl=1"),
        ("http://h/?user=me&token=xyzzy-4711", "http://h/?user=me&token=***"),
        ("http://h?api_key=xyzzy-4711#a", "http://h?api_key=***"),
        ("http://h?X-Amz-Signature=xyzzy-4711", "http://h?X-Amz-Signature=***"),
        ("http://h?access_token=xyzzy-4711", "http://h?access_token=***"),
        ("host=h password=xyzzy-4711 port=5", "host=h password=*** port=5"),
        ('{"password": "xyzzy 4711"}', '{"password": ***}'),
        ("http://h/#access_token=xyzzy-4711", "http://h/#access_token=***"),
        ("Authorization: Bearer xyzzy-4711", "Authorization: Bearer ***"),
        ("'Authorization': 'Basic xyzzy-4711'", "'Authorization': 'Basic ***"),
    ],
)
def test_credentials_are_known_by_their_form(text: str, shown: str) -> None:
    assert redacted(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "tokens=500 tokenizer=byte sample_tokens=20 1,024 tokens/s n_head 2",
        "http://127.0.0.1:5000/#/experiments/1/runs?workflowType=a&viewStateShareKey=gpt-bench-1",
        "a ± b, mail me@host, @decorated, 7 // 2, sqlite:////home/me/mlflow.db",
    ],
)
def test_other_words_stay(text: str) -> None:
    assert redacted(text) == text


@pytest.mark.parametrize(
    ("variable", "value", "shown"),
    [
        ("PLANTED_TOKEN", SECRET, "a *** b *** c"),
        ("MLFLOW_TRACKING_PASSWORD", SECRET, "a *** b *** c"),
        ("MLFLOW_TRACKING_URI", f"http://bob:{SECRET}@host", "a *** b *** c"),
        ("MLFLOW_TRACKING_URI", f"http://host?token={SECRET}", "a *** b *** c"),
        ("TOKENIZERS", SECRET, f"a {SECRET} b {SECRET} c"),
    ],
)
def test_the_environment_s_secrets_are_known_word_for_word(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, shown: str
) -> None:
    monkeypatch.setenv(variable, value)
    assert redacted(f"a {SECRET} b {SECRET} c") == shown


def test_an_encoded_password_is_known_as_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://bob:xy%2Fzz%40y@host")
    assert redacted("xy/zz@y and xy%2Fzz%40y") == "*** and ***"


def test_lists_and_dicts_are_redacted_to_their_leaves() -> None:
    value = {"a": ["http://b:c@d", 1], "e": {"f": ("password=g", None)}}
    assert redacted_all(value) == {"a": ["http://d", 1], "e": {"f": ["password=***", None]}}


@click.command()
@click.option("--debug", is_flag=True)
@click.option("--fault", is_flag=True)
def leaky(debug: bool, fault: bool) -> None:
    """Says a password wherever a command can say something."""
    with refusals(debug=debug):
        print(f"out http://bob:{SECRET}@host")
        click.echo(f"err ?token={SECRET}", err=True)
        if fault:
            raise RuntimeError(f"http://bob:{SECRET}@host")
        raise MachineError(f"no http://bob:{SECRET}@host")


@pytest.mark.parametrize(
    ("options", "code", "words", "traced"),
    [
        ([], 4, "error: no http://host", False),
        (["--debug"], 4, "error: no http://host", True),
        (["--fault"], 1, "RuntimeError: http://host", True),
    ],
)
def test_nothing_that_a_command_says_holds_a_password(
    options: list[str], code: int, words: str, traced: bool
) -> None:
    """Output, refusals, tracebacks; and --debug changes no exit code."""
    result = CliRunner().invoke(leaky, options, catch_exceptions=False)

    assert result.exit_code == code
    assert SECRET.encode() not in result.stdout_bytes + result.stderr_bytes
    assert "out http://host" in result.stdout
    assert "err ?token=***" in result.stderr
    assert words in result.stderr
    assert ("Traceback" in result.stderr) is traced


def test_a_full_disk_is_named_in_a_line() -> None:
    @click.command()
    def full() -> None:
        with refusals():
            raise OSError(28, "No space left on device", "a/b")

    result = CliRunner().invoke(full, catch_exceptions=False)
    assert result.exit_code == 4
    assert "No space left on device: 'a/b'" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("address", "ambiguous"),
    [
        ("http://bob:s3cr@t/pw@127.0.0.1:9", True),
        ("http://bob:s3cr@t@127.0.0.1:9", True),
        ("http://bob:s3/cr@127.0.0.1:9", True),
        ("https://bob:s3%40cr%2Ft@127.0.0.1:9/a", False),
        ("http://127.0.0.1:5000/a@b", False),
        ("http://host", False),
        ("postgresql://bob:s3/cr@t@host/db", False),  # SQLAlchemy reads it as it is meant
    ],
)
def test_an_address_of_which_a_library_would_take_the_password_for_a_host(
    address: str, ambiguous: bool
) -> None:
    assert is_ambiguous(address) is ambiguous
