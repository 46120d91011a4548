import socket
import threading
from collections.abc import Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pooch
import pytest

from gpt.config import CorpusConfig
from gpt.corpora import Corpus, load_corpus
from gpt.corpora.download import SOURCES, Source
from gpt.errors import ConfigError, DataError

TEXT = b"To be, or not to be.\r\n" * 100
PAGE = b"<!DOCTYPE html><title>Sign in</title>"
NAME = "tinyshakespeare"


class Handler(BaseHTTPRequestHandler):
    """/good, /page, /cut (half of what it announces), /missing; counts what it is asked."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        body = PAGE if self.path == "/page" else TEXT
        self.send_response(404 if self.path == "/missing" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if self.path == "/cut" else body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("GPT_BENCH_CORPORA", raising=False)
    monkeypatch.setattr(Handler, "asked", [], raising=False)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def serve(server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch) -> "Serve":
    return Serve(server.server_port, monkeypatch)


class Serve:
    """Points the known corpus to a path of the local server, or to another port."""

    def __init__(self, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.port = port
        self.monkeypatch = monkeypatch

    def __call__(self, path: str, port: int | None = None) -> None:
        url = f"http://127.0.0.1:{port or self.port}{path}"
        source = Source(file="text.txt", url=url, sha256=sha256(TEXT).hexdigest())
        self.monkeypatch.setitem(SOURCES, NAME, source)


def load(cache: Path, corpora_dir: Path | None = None) -> Corpus:
    return load_corpus(CorpusConfig(name=NAME), corpora_dir=corpora_dir, cache=cache)


def test_a_text_is_downloaded_once_and_quietly(
    serve: Serve,
    cache: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pooch.get_logger(), "handlers", [caplog.handler])
    serve("/good")
    assert load(cache).path.read_bytes() == TEXT
    assert load(cache).path.read_bytes() == TEXT
    assert Handler.asked == ["/good"]
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/page", [sha256(TEXT).hexdigest(), sha256(PAGE).hexdigest(), "HTML page"]),
        ("/cut", ["--corpora-dir", "pydocs", "ChunkedEncodingError"]),
        ("/missing", ["--corpora-dir", "pydocs", "HTTPError"]),
    ],
)
def test_a_wrong_or_partial_file_is_never_used(
    serve: Serve, cache: Path, path: str, says: list[str]
) -> None:
    serve(path)
    with pytest.raises(DataError) as refusal:
        load(cache)
    for words in says:
        assert words in str(refusal.value)
    assert str(refusal.value).count("\n") == 1
    assert list((cache / "corpora").iterdir()) == []

    serve("/good")
    assert load(cache).path.read_bytes() == TEXT


def test_without_a_network_the_way_out_is_named(serve: Serve, cache: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused
        serve("/good", port=unused.getsockname()[1])
        with pytest.raises(DataError, match=r"ConnectionError\n.*--corpora-dir.*pydocs"):
            load(cache)


def test_a_damaged_file_in_the_cache_is_downloaded_again(serve: Serve, cache: Path) -> None:
    serve("/good")
    load(cache).path.write_bytes(b"damaged")
    assert load(cache).path.read_bytes() == TEXT


def test_a_local_copy_comes_first(
    serve: Serve, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve("/good")
    (tmp_path / "text.txt").write_bytes(TEXT)
    assert load(cache, corpora_dir=tmp_path).path == tmp_path / "text.txt"
    monkeypatch.setenv("GPT_BENCH_CORPORA", str(tmp_path))
    assert load(cache).path == tmp_path / "text.txt"
    assert Handler.asked == []


def test_a_local_copy_with_another_checksum_is_refused(
    serve: Serve, cache: Path, tmp_path: Path
) -> None:
    serve("/good")
    (tmp_path / "text.txt").write_bytes(TEXT + b"!")
    with pytest.raises(DataError) as refusal:
        load(cache, corpora_dir=tmp_path)
    assert sha256(TEXT).hexdigest() in str(refusal.value)
    assert sha256(TEXT + b"!").hexdigest() in str(refusal.value)


def test_a_folder_of_copies_without_this_one_leads_to_the_download(
    serve: Serve, cache: Path, tmp_path: Path
) -> None:
    serve("/good")
    assert load(cache, corpora_dir=tmp_path).path.is_relative_to(cache)


def test_a_folder_of_copies_must_exist(serve: Serve, cache: Path, tmp_path: Path) -> None:
    serve("/good")
    with pytest.raises(ConfigError, match="--corpora-dir"):
        load(cache, corpora_dir=tmp_path / "nowhere")
