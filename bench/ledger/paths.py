"""Where are the files of a study?"""

from pathlib import Path

STORE = Path("mlruns")
"""The folder for all files of a study; MLflow's database is beside it."""


def ledger_path(name: str) -> Path:
    """The journal of a ledger."""
    return STORE / "ledger" / f"{name}.journal"


def ledger_names() -> list[str]:
    """Names of the ledgers in this folder, including those that were set aside."""
    return sorted(path.stem for path in ledger_path("").parent.glob("*.journal"))
