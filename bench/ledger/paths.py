"""Where a study leaves what it leaves."""

from pathlib import Path

STORE = Path("mlruns")
"""Everything that a study leaves lies here, but MLflow's database, which lies beside it."""


def ledger_path(name: str) -> Path:
    """The journal of a ledger."""
    return STORE / "ledger" / f"{name}.journal"


def ledger_names() -> list[str]:
    """The ledgers that are here, those that were set aside among them."""
    return sorted(path.stem for path in ledger_path("").parent.glob("*.journal"))
