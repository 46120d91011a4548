"""The results of a session of microbenchmarks, read from the JSON that pytest-benchmark saves.

`pytest --benchmark-only` writes a file for each session to `.benchmarks`. What this package adds
to a benchmark is in its `extra_info`. Benchmarks without a time are listed under `left_out`, and
times that were taken in turns under `in_turns`.
"""

import json
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from bench.micro.alternating import QuestionTimes
from gpt.errors import DataError

STORE = Path(".benchmarks")

NOISY = 0.2
"""A spread (interquartile range) of more than this share of the median is marked."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One benchmark."""

    series: str
    name: str
    T: int | None
    device: str
    device_name: str
    dtype: str
    threads: int
    median_seconds: float
    iqr_seconds: float
    rounds: int
    flops: int
    bytes: int
    gflop_per_second: float
    gigabytes_per_second: float
    matmul_ceiling_gflop_per_second: float
    copy_ceiling_gigabytes_per_second: float
    share_of_matmul_ceiling: float
    share_of_copy_ceiling: float
    peak_memory_bytes: int | None

    @property
    def is_noisy(self) -> bool:
        """Whether its rounds differed so much that it should be measured again."""
        return self.iqr_seconds > NOISY * self.median_seconds

    @property
    def floor_seconds(self) -> float:
        """The least possible time: its arithmetic or its bytes at the ceiling's rate."""
        return max(
            self.flops / self.matmul_ceiling_gflop_per_second / 1e9,
            self.bytes / self.copy_ceiling_gigabytes_per_second / 1e9,
        )


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """A benchmark without a time, and why."""

    series: str
    name: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Results:
    """One session."""

    rows: Sequence[Row]
    left_out: Sequence[LeftOut]
    in_turns: Sequence[QuestionTimes]
    """Questions of which the answers were also timed in turns: all, but in older sessions."""

    commit: str
    """Abbreviated; with `, changed since` if the working tree was changed."""

    taken_at: str
    """Date and time in UTC."""

    @classmethod
    def from_saved(cls, saved: Mapping[str, Any]) -> "Results":
        """Read the content of the JSON; benchmarks of other packages are skipped."""
        names = {field.name for field in fields(Row)}
        rows = []
        for benchmark in saved["benchmarks"]:
            info, stats = benchmark["extra_info"], benchmark["stats"]
            if "series" in info:
                known = {name: value for name, value in info.items() if name in names}
                rows.append(
                    Row(
                        **known,
                        median_seconds=stats["median"],
                        iqr_seconds=stats["iqr"],
                        rounds=stats["rounds"],
                    )
                )
        left_out = dict.fromkeys(
            LeftOut(series=left["series"], name=left["name"], reason=left["reason"])
            for left in saved.get("left_out", ())
        )
        info = saved["commit_info"]
        changed = ", changed since" if info.get("dirty") else ""
        return cls(
            rows=rows,
            left_out=list(left_out),
            in_turns=[QuestionTimes.from_json(question) for question in saved.get("in_turns", ())],
            commit=f"{_abbreviated(info.get('id'))}{changed}",
            taken_at=f"{saved['datetime'][:16].replace('T', ' ')} UTC",
        )

    @property
    def series(self) -> list[str]:
        """Names of the series, in the order in which they were timed."""
        return list(dict.fromkeys(row.series for row in self.rows))

    def of(self, series: str) -> list[Row]:
        """The rows of a series."""
        return [row for row in self.rows if row.series == series]


def read_results(path: Path | None) -> Results:
    """The results in a file, or in the newest one of `.benchmarks`.

    Raises:
        DataError: there is no file, or it has no microbenchmarks.
    """
    path = path or _newest()
    try:
        results = Results.from_saved(json.loads(path.read_bytes()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path} must be what `pytest --benchmark-only` saves but could not be read: {error!r}"
        ) from error
    if not results.rows:
        raise DataError(f"{path} must hold microbenchmarks but has none: run pytest bench/micro")
    return results


def _abbreviated(commit: object) -> str:
    """Seven digits of a commit; another word, such as `unversioned`, as it is."""
    words = str(commit)
    return words[:7] if set(words) <= set(string.hexdigits) else words


def newest(store: Path = STORE) -> Path | None:
    """The file of the latest session that was saved in a folder of pytest-benchmark's."""
    return max(store.glob("*/*.json"), key=lambda path: path.stat().st_mtime, default=None)


def _newest() -> Path:
    if (saved := newest()) is None:
        raise DataError(
            f"there must be saved microbenchmarks in {STORE.absolute()} but there are none: "
            "run `pytest --benchmark-only` here, or name a file"
        )
    return saved
