"""A folder with a tiny study in it, where the real command runs: workers, journal, MLflow."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from click.testing import CliRunner, Result
from mlflow import MlflowClient
from mlflow.entities import Run

from bench.ledger.ledger import Entry, Ledger
from bench.spec import Study
from bench.study import main
from gpt.config import RunConfig

VERSE = (
    "{0} bottles of “beer” on the wall, {0} bottles of “beer”. Take one down, pass it around.\n"
)

STUDY = '''\
"""Does a head more sing better?

Details that the title leaves out.
"""

from dataclasses import replace
from pathlib import Path

from bench.spec import *
from gpt.config import *

BASE = RunConfig(
    corpus=CorpusConfig(name=str(Path(__file__).with_name("song.txt"))),
    model=ModelConfig(n_layer=1, n_head=2, n_embd=16, block_size=16),
    train=TrainConfig(
        budget=Budget(steps={steps}), batch_size=4, evaluations=4, sample_tokens=20, device="cpu"
    ),
)


def cell(trial: Trial) -> RunConfig:
{cell}


study = Study(cell{options})
'''

CELL = """
n_head = choose(trial, "n_head", [1, 2])
return replace(BASE, model=replace(BASE.model, n_head=n_head))
"""


@dataclass(frozen=True)
class Workplace:
    """A folder with a song, and the studies that are written into it."""

    folder: Path
    started: "list[subprocess.Popen[str]]" = field(default_factory=list)

    def write(
        self, name: str = "tiny", *, cell: str = CELL, options: str = "seeds=2", steps: int = 12
    ) -> str:
        """Write a study with this body of `cell`; returns its file's name."""
        body = "\n".join(f"    {line}" for line in cell.strip().splitlines())
        text = STUDY.format(cell=body, options=f", {options}" if options else "", steps=steps)
        (self.folder / f"{name}.py").write_text(text, encoding="utf-8")
        return f"{name}.py"

    def run(self, *arguments: object) -> Result:
        """The command in this process; a traceback is no answer."""
        return CliRunner().invoke(main, [str(a) for a in arguments], catch_exceptions=False)

    def start(self, *arguments: object, **variables: str) -> "subprocess.Popen[str]":
        """The command in a process and a process group of its own."""
        environment = {
            **os.environ,
            "TMPDIR": str(self.temporary),
            "OMP_NUM_THREADS": "1",
        } | variables
        command = subprocess.Popen(
            [sys.executable, "-m", "bench.study", *map(str, arguments)],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.started.append(command)
        return command

    def kill_what_is_left(self) -> None:
        """End the commands that a failed test has left at work, and all that they started."""
        for command in self.started:
            with command:  # its pipes are closed
                if command.poll() is None:
                    for process in psutil.Process(command.pid).children(recursive=True):
                        with contextlib.suppress(psutil.NoSuchProcess):
                            process.kill()
                    command.kill()

    @property
    def temporary(self) -> Path:
        """Where runs keep their files until they are recorded."""
        return self.folder / "tmp"

    @property
    def client(self) -> MlflowClient:
        """MLflow, as a user of this folder meets it."""
        return MlflowClient(f"sqlite:///{self.folder / 'mlflow.db'}")

    def journal(self, name: str = "tiny") -> Path:
        """The file of a study's ledger."""
        return self.folder / "mlruns" / "ledger" / f"{name}.journal"

    def records(self, role: str = "run", study: str = "tiny") -> list[Run]:
        """What MLflow holds of a study: its runs, or its launches."""
        experiment = self.client.get_experiment_by_name(study)
        assert experiment is not None
        return list(
            self.client.search_runs(
                [experiment.experiment_id], f"tags.`gpt_bench.role` = '{role}'", max_results=1000
            )
        )

    def entries(self, name: str = "tiny") -> list[Entry]:
        """What a ledger says, read as the next launch would."""
        spec = Study(lambda trial: RunConfig())  # noqa: ARG005
        with Ledger.open(self.journal(name), spec, overrides={}, identity={}) as ledger:
            return ledger.entries()

    def at_work(self, run: object = "*", file: str = "model.safetensors") -> bool:
        """Whether a run is under way; by its weights, one past its first evaluation."""
        return any(self.temporary.glob(f"gpt-bench-*/{run}/{file}"))


def workers_of(pid: int) -> list[psutil.Process]:
    """The workers of a launch: the processes that its fork server made."""
    return [worker for server in psutil.Process(pid).children() for worker in server.children()]


@contextlib.contextmanager
def meanwhile(work: Callable[[], None]) -> Iterator[None]:
    """Do this beside a command; if it fails, end the command."""

    def guarded() -> None:
        try:
            work()
        except BaseException:
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGINT)
            raise

    thread = threading.Thread(target=guarded)
    thread.start()
    yield
    thread.join()


def wait_until(condition: Callable[[], object], seconds: float = 300) -> None:
    """Return as soon as the condition holds; the limit only ends a test that hangs."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came to this"
        time.sleep(0.005)


def gone(processes: Sequence[psutil.Process]) -> bool:
    """Whether these processes end by themselves, and soon."""
    return not psutil.wait_procs(processes, timeout=60)[1]


@dataclass(frozen=True)
class Finished:
    """A finished study and what its command said."""

    place: Workplace
    result: Result
