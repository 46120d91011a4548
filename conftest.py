"""How many tests run at once? As many as there are cores, when the whole suite runs."""

import pytest

from bench.system.cores import cpu_count

MOST_WORKERS = 4
"""Each imports torch and MLflow and grows to a gigabyte and a half."""


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Workers of pytest-xdist, unless `-n` says how many; none for files that are named.

    There the tests would be over before the workers have imported what they need.
    """
    if config.args_source is not pytest.Config.ArgsSource.TESTPATHS:
        return 0
    n_cores = cpu_count()
    return min(n_cores, MOST_WORKERS) if n_cores > 1 else 0
