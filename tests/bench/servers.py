"""MLflow's own tracking server in this process, and what can happen to one."""

import logging
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from mlflow.server import app, handlers
from mlflow.server.constants import SERVE_ARTIFACTS_ENV_VAR
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from werkzeug.serving import make_server

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import mlflow.server.fastapi_app  # noqa: F401  # at the first search it is, and it warns

logging.getLogger("werkzeug").setLevel(logging.ERROR)

Answer = Iterable[bytes]


class Server:
    """A server over a folder's database, on the loopback interface alone.

    Some attributes name requests, by a part of their path.
    """

    def __init__(self) -> None:
        self.away = self.hanging = False
        self.away_from: str | None = None
        """From the first of these on it is away."""

        self.loses: str | None = None
        """These are done, but nobody hears of it."""

        self.asked: list[str] = []
        """The paths of all requests."""

        self.resumed = threading.Event()
        """Until it is set, a server that hangs says nothing."""

        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True)
        self.uri = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self.resumed.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _answer(self, environ: dict[str, Any], respond: Callable[..., Any]) -> Answer:
        path = environ["PATH_INFO"]
        self.asked.append(path)
        if self.away_from and self.away_from in path:
            self.away = True
        if self.hanging:
            self.resumed.wait()
        if self.away:
            respond("503 Service Unavailable", [])
            return [b"away"]
        answer: Answer = app(environ, respond)
        if self.loses and self.loses in path:
            list(answer)
            respond("500 Internal Server Error", [])
            return [b"lost"]
        return answer


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """A server over the database in a folder, as `MLFLOW_TRACKING_URI`."""
    with pytest.MonkeyPatch.context() as patch:
        store = SqlAlchemyStore(f"sqlite:///{folder / 'mlflow.db'}", "mlflow-artifacts:/")
        patch.setattr(handlers, "_tracking_store", store)
        patch.setattr(handlers, "_artifact_repo", LocalArtifactRepository(str(folder / "kept")))
        patch.setenv(SERVE_ARTIFACTS_ENV_VAR, "true")
        patch.setenv("NO_PROXY", "127.0.0.1")
        server = Server()
        patch.setenv("MLFLOW_TRACKING_URI", server.uri)
        try:
            yield server
        finally:
            server.close()
