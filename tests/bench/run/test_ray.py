"""A cluster of two machines with a core each, both here: the same tasks, and a machine lost."""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import psutil
import pytest
import ray
from ray.cluster_utils import Cluster
from streams import ends, stream, until_points
from workplace import Finished as FinishedStudy
from workplace import Workplace, gone, wait_until

from bench.ledger.outcome import Outcome
from bench.run.executor import Died
from bench.run.messages import Finished, Prepare, Started, Train
from bench.run.ray_executor import RayExecutor
from gpt.cache import CACHE_VARIABLE
from gpt.config import RunConfig
from gpt.errors import ConfigError, DataError, MachineError
from gpt.training.loop import Point

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),  # Ray's
]

Start = Callable[..., RayExecutor]

MACHINE: dict[str, Any] = {"num_cpus": 1, "include_dashboard": False}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Its processes have a cache of their own, as those of another machine would."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv(CACHE_VARIABLE, str(tmp_path_factory.mktemp("cache")))
        cluster = Cluster(initialize_head=True, head_node_args=MACHINE)
        cluster.add_node(**MACHINE)
        cluster.wait_for_nodes()
    yield cluster
    cluster.shutdown()


@pytest.fixture
def start(cluster: Cluster, tiny: RunConfig) -> Iterator[Start]:
    """Joins the cluster, and leaves it."""
    started: list[RayExecutor] = []

    def start(n_workers: int = 2) -> RayExecutor:
        started.append(RayExecutor(cluster.address, [tiny], n_workers))
        return started[-1]

    yield start
    for executor in started:
        executor.close()


def test_messages_come_in_order_and_what_a_run_has_left_before_the_last(
    start: Start, tiny: RunConfig, endless: Train
) -> None:
    executor = start()
    task = replace(endless, config=tiny)
    executor.submit("run", task)
    events = []
    for name, event in stream(executor):
        assert name == "run"
        events.append(event)
        if isinstance(event, Finished | Died):
            break

    assert isinstance(events[0], Started)
    assert events[0].facts["threads"] == 1
    assert all(isinstance(event, Point) for event in events[1:-1])
    assert isinstance(events[-1], Finished)
    assert events[-1].outcome is Outcome.COMPLETE
    left = {path.name for path in task.folder.iterdir()}
    assert left >= {"config.json", "model.safetensors", "sample.txt", "tokenizer"}
    assert not task.folders.cache.exists()


def test_a_run_that_is_told_to_stop_does_so_and_the_next_begins(
    start: Start, endless: Train, prepare: Prepare
) -> None:
    executor = start(1)
    assert (executor.n_workers, executor.n_free) == (1, 1)
    executor.submit("run", endless)
    assert executor.n_free == 0
    until_points(executor, "run")
    executor.stop("run")
    executor.stop("never heard of")
    [(_, ended)] = ends(executor, 1)
    assert isinstance(ended, Finished)
    assert ended.outcome is Outcome.INTERRUPTED

    executor.submit("next", prepare)
    assert [(name, e.outcome) for name, e in ends(executor, 1)] == [("next", Outcome.COMPLETE)]
    assert executor.n_free == 1


def test_what_is_wrong_with_a_task_comes_back_as_its_outcome(
    start: Start, faulty: Prepare
) -> None:
    executor = start()
    executor.submit("empty", faulty)

    [(_, ended)] = ends(executor, 1)
    assert isinstance(ended, Finished)
    assert isinstance(ended.error, DataError)


def test_a_process_that_is_killed_is_an_event(start: Start, endless: Train) -> None:
    executor = start()
    executor.submit("run", endless)
    until_points(executor, "run")
    ours = psutil.Process().children(recursive=True)
    [process] = [p for p in ours if p.name().startswith("ray::_perform")]
    process.kill()

    [(_, ended)] = ends(executor, 1)
    assert isinstance(ended, Died)
    assert "WorkerCrashedError" in ended.reason


def test_a_machine_that_is_lost_takes_its_run_along_and_no_other(
    start: Start, endless: Train, cluster: Cluster
) -> None:
    lost = cluster.add_node(**MACHINE)
    cluster.wait_for_nodes()
    executor = start(3)
    for i in range(3):
        executor.submit(str(i), endless)
    until_points(executor, "0", "1", "2")
    cluster.remove_node(lost, allow_graceful=False)

    [(name, ended)] = ends(executor, 1)
    assert isinstance(ended, Died)
    assert "NodeDiedError" in ended.reason
    until_points(executor, *({"0", "1", "2"} - {name}))


@pytest.mark.parametrize(
    ("address", "error", "words"),
    [
        ("127.0.0.1:1", MachineError, "a Ray cluster at 127.0.0.1:1 but: .*refused"),
        ("nonsense", ConfigError, "HOST:PORT or auto but got 'nonsense'"),
    ],
)
def test_where_no_cluster_is_the_command_ends_at_once(
    tiny: RunConfig, address: str, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        RayExecutor(address, [tiny], 1)


def test_a_machine_with_other_code_is_refused(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.run.ray_cluster.code_digest", lambda: "another")
    with pytest.raises(MachineError, match="must run gpt-bench another"):
        start()
    assert not ray.is_initialized()


def test_a_study_comes_to_the_same_numbers_on_a_cluster(
    cluster: Cluster, place: Workplace, finished: FinishedStudy
) -> None:
    there = place.run(place.write(), "--executor", "ray", "--address", cluster.address)

    assert there.exit_code == 0, there.output
    assert "2 runs side by side" in there.output
    found, expected = (
        {run.info.run_name: run.data.metrics["final/loss"] for run in of.records()}
        for of in (place, finished.place)
    )
    assert len(found) == 4
    assert found == expected


def test_a_ray_of_one_s_own_listens_here_alone_and_leaves_nothing(place: Workplace) -> None:
    study = place.write(steps=1_000_000)
    short = {"RAY_TMPDIR": "/tmp"}  # a socket's name has room for a hundred characters
    command = place.start(study, "--executor", "ray", "--workers", 1, **short)
    wait_until(lambda: place.at_work(file="config.json"))
    processes = psutil.Process(command.pid).children(recursive=True)
    sockets = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):  # Ray's helpers come and go
            sockets += process.net_connections("inet")
    listening = {s.laddr.ip for s in sockets if s.status == psutil.CONN_LISTEN}
    os.killpg(command.pid, signal.SIGINT)
    out, _ = command.communicate(timeout=300)

    assert command.returncode == 130, out
    assert listening
    assert "The same command goes on from here" in out
    assert listening <= {"127.0.0.1", "::ffff:127.0.0.1"}
    assert gone(processes)
