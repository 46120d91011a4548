"""The options, fixtures and hooks of the microbenchmarks.

Benchmarks are timed when an option of pytest-benchmark asks for it (`pytest --benchmark-only`); in
a plain `pytest` each runs once, at a tiny size, as a test. Results are saved as by
`--benchmark-autosave`, unless another way of saving is asked for. Our summary comes last, and
instead of pytest-benchmark's own tables, unless an option asks for these.
"""

import re
import warnings
from collections.abc import Callable, Generator, Iterator
from typing import Any, TypeAlias

import pytest
import torch
from pytest_benchmark.utils import get_tag

from bench.micro.alternating import AlternatingTimer, QuestionTimes
from bench.micro.fixture import LEFT_OUT, Place, Timed
from bench.micro.stopwatch import SECONDS, Stopwatch
from gpt.acceleration.malloc import keep_freed_memory
from gpt.device import resolve_device
from gpt.errors import GptBenchError

LENGTHS = {
    "tiny": (8,),
    "quick": (64, 128, 256, 512),
    "full": (16, 32, 64, 128, 256, 512, 1024, 2048),
}
"""T, by size."""

TIMING_OPTIONS = (
    "only", "enable", "save", "autosave", "json", "compare", "histogram", "csv", "cprofile",
)  # fmt: skip
"""Options of pytest-benchmark that ask for times; without any of them nothing is timed."""

SHOWING_OPTIONS = (
    "sort", "group-by", "columns", "name", "time-unit", "histogram", "compare", "cprofile",
)  # fmt: skip
"""Options of pytest-benchmark that ask for its own tables."""

Saved: TypeAlias = dict[str, Any]
"""What pytest-benchmark writes as JSON."""

SAVED = pytest.StashKey[Saved]()
UNRECORDED = pytest.StashKey[str]()
RECORD = pytest.StashKey[Callable[[Saved], None]]()
IN_TURNS = pytest.StashKey[list[QuestionTimes]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("microbenchmarks")
    group.addoption(
        "--bench-device",
        action="append",
        choices=["auto", "cpu", "cuda", "mps"],
        help="Where to time; may be given several times. Default: the best there is.",
    )
    group.addoption(
        "--bench-size",
        choices=["quick", "full"],
        default="quick",
        help="T up to 512 within 3 minutes on 2 cores, or up to 2048 with more rounds.",
    )
    group.addoption(
        "--bench-threads",
        type=int,
        default=1,
        help="torch's threads on the CPU. Default: 1, as each worker of a study has.",
    )
    group.addoption(
        "--bench-mlflow",
        action="store_true",
        help="Record the results in the MLflow experiment `microbenchmarks`.",
    )


def _is_timed(config: pytest.Config) -> bool:
    return any(getattr(config.option, f"benchmark_{name}", None) for name in TIMING_OPTIONS)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Use no workers of pytest-xdist when timing: benchmarks need the machine for themselves."""
    return 0 if _is_timed(config) else None


def pytest_configure(config: pytest.Config) -> None:
    """Decide whether to time, before pytest-benchmark reads its options."""
    option = config.option
    config.stash[LEFT_OUT], config.stash[IN_TURNS] = [], []
    if not _is_timed(config):
        option.benchmark_disable = True
        return
    if not (option.benchmark_save or option.benchmark_autosave or option.benchmark_json):
        option.benchmark_autosave = get_tag()  # type: ignore[no-untyped-call]
    option.benchmark_save_data = True
    option.benchmark_columns = option.benchmark_columns or ["median", "iqr", "min", "rounds"]
    option.benchmark_quiet = option.benchmark_quiet or not _shows_its_tables(config)


def _shows_its_tables(config: pytest.Config) -> bool:
    """Whether pytest-benchmark was asked for its own tables; a default can't be told from this."""
    asking = tuple(f"--benchmark-{name}" for name in SHOWING_OPTIONS)
    is_asked = any(str(argument).startswith(asking) for argument in config.invocation_params.args)
    return is_asked or config.option.verbose > 0


def pytest_sessionstart(session: pytest.Session) -> None:
    """Open the tracking store before anything is timed, so that a refusal costs nothing."""
    if session.config.option.bench_mlflow:
        with _usage_errors(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MLflow's imports deprecate each other
            from bench.micro.report.record import open_record

            session.config.stash[RECORD] = open_record(session.config.option.bench_size)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With `--benchmark-only`, deselect the other tests, without a line for each.

    A benchmark that is refused never uses its fixture, so the warning about that is silenced.
    """
    unused = pytest.mark.filterwarnings("ignore:Benchmark fixture was not used at all")
    for item in items:
        if "timed" in getattr(item, "fixturenames", ()):
            item.add_marker(unused)
    if config.option.benchmark_only:
        others = [i for i in items if "benchmark" not in getattr(i, "fixturenames", ())]
        if others:
            config.hook.pytest_deselected(items=others)
            items[:] = [item for item in items if item not in set(others)]


def _size(config: pytest.Config) -> str:
    if config.option.benchmark_disable and not config.option.benchmark_enable:
        return "tiny"
    size: str = config.option.bench_size
    return size


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give `place` each device in each of its precisions, and `T` each length."""
    if "place" in metafunc.fixturenames:
        with _usage_errors():
            requested = metafunc.config.option.bench_device or ["auto"]
            devices = [resolve_device(name) for name in dict.fromkeys(requested)]
        places = [
            Place(device=device, dtype=dtype) for device in devices for dtype in _dtypes(device)
        ]
        metafunc.parametrize("place", places, ids=str)
    if "T" in metafunc.fixturenames:
        metafunc.parametrize("T", LENGTHS[_size(metafunc.config)], ids="T{}".format)


def _dtypes(device: torch.device) -> list[torch.dtype]:
    """The CPU has no float16 arithmetic of its own."""
    common = [torch.float32, torch.bfloat16]
    return common if device.type == "cpu" else [*common, torch.float16]


class _usage_errors:  # noqa: N801
    """Turns the suite's own errors into pytest's usage errors."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, GptBenchError):
            raise pytest.UsageError(str(error)) from error


@pytest.fixture(scope="session")
def size(request: pytest.FixtureRequest) -> str:
    """tiny, quick or full."""
    return _size(request.config)


@pytest.fixture(scope="session", autouse=True)
def _memory() -> None:
    """Keep freed memory, as a sweep's workers do."""
    keep_freed_memory()


@pytest.fixture(scope="module", autouse=True)
def _threads(request: pytest.FixtureRequest) -> Iterator[None]:
    """Use the number of threads that was asked for, and restore it afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.config.option.bench_threads)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def stopwatch(size: str) -> Stopwatch:
    return Stopwatch(SECONDS[size])


@pytest.fixture(scope="module")
def turns(request: pytest.FixtureRequest, size: str, _threads: None) -> Iterator[AlternatingTimer]:
    """A file's answers; when all are there they are timed in turns, unless the session is cut."""
    turns = AlternatingTimer(SECONDS[size])
    yield turns
    if request.session.exitstatus != pytest.ExitCode.INTERRUPTED:
        request.config.stash[IN_TURNS] += turns.take()


@pytest.fixture
def timed(
    request: pytest.FixtureRequest, benchmark: Any, stopwatch: Stopwatch, turns: AlternatingTimer
) -> Timed:
    return Timed(request.config, benchmark, stopwatch, turns)


@pytest.hookimpl(wrapper=True)
def pytest_benchmark_group_stats(
    config: pytest.Config, benchmarks: list[dict[str, Any]]
) -> Generator[None, Any, Any]:
    """Groups by the numbers in their names, T = 64 before T = 128; none of what was refused."""
    refused = {(left["group"], left["name"]) for left in config.stash[LEFT_OUT]}
    benchmarks[:] = [
        b for b in benchmarks if (b["group"], b["extra_info"].get("name")) not in refused
    ]
    groups = yield
    return sorted(groups, key=lambda group: _natural(group[0] or ""))


def _natural(text: str) -> list[tuple[int, str]]:
    return [
        (int(part or 0), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", text)
    ]


def pytest_benchmark_update_json(config: pytest.Config, output_json: Saved) -> None:
    """Add what was timed in turns, and why something has no time; make the rest fit for JSON."""
    for benchmark in output_json["benchmarks"]:
        params = benchmark["params"] or {}
        benchmark["params"] = {
            name: value if isinstance(value, int | str) else str(value)
            for name, value in params.items()
        }
    output_json["left_out"] = config.stash[LEFT_OUT]
    output_json["in_turns"] = [question.to_json() for question in config.stash[IN_TURNS]]
    config.stash[SAVED] = output_json


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Record what was saved, where that was asked for; if that fails, what was saved stays."""
    stash = session.config.stash
    if RECORD not in stash or SAVED not in stash:
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            stash[RECORD](stash[SAVED])
    except Exception as error:  # whatever the store raises
        stash[UNRECORDED] = str(error).partition("\n")[0]
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> Generator[None]:
    """Our summary, after all other parts of pytest's, of which the list of skips is long."""
    try:
        yield
    finally:
        if SAVED in config.stash:
            from bench.micro.report.terminal import write_summary

            saved = config.stash[SAVED]
            write_summary(terminalreporter, config, saved)
            if UNRECORDED in config.stash:
                terminalreporter.write_line(
                    f"not recorded in MLflow: {config.stash[UNRECORDED]}", red=True
                )
