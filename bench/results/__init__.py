"""What came of studies, for a notebook or a script: `load` gives the runs as a pandas table."""

from bench.results.table import Runs, load

__all__ = ["Runs", "load"]
