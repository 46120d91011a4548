"""The help of every command answers at once, whatever libraries the command needs for its work."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
COMMANDS = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in (*ROOT.glob("bench/*.py"), *ROOT.glob("bench/*/__main__.py"))
    if '\nif __name__ == "__main__":' in path.read_text("utf-8")
)
SLOW = {"torch", "mlflow", "optuna", "pandas", "scipy", "matplotlib", "rich"}

PROGRAM = f"""
import importlib, sys
from click.testing import CliRunner
for name in {COMMANDS}:
    help = CliRunner().invoke(importlib.import_module(name).main, ["--help"])
    loaded = {SLOW} & sys.modules.keys()
    assert help.exit_code == 0 and not loaded, (name, help.output, loaded)
"""


def test_help_answers_without_loading_what_is_slow() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, encoding="utf-8")

    assert (done.stdout, done.stderr) == ("", "")
    assert {"bench.study", "bench.report.__main__", "bench.ui"} <= {*COMMANDS}
