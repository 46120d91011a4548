"""Who may import whom, read from the source without running it."""

import ast
import importlib
import re
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("gpt", "bench", "studies")


def files(folder: str) -> list[Path]:
    found = sorted((ROOT / folder).rglob("*.py"))
    assert found, f"no Python under {folder}"
    return found


def modules(path: Path) -> set[str]:
    """Every module that a file imports, at its top or inside a function; relative ones too."""
    package = path.relative_to(ROOT).parts[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = [*package[: len(package) - node.level + 1]] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            found |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return found


def importers(folder: str, *banned: str) -> dict[str, set[str]]:
    """The files of a folder that import any of these modules, and what they import."""
    seen = {
        str(path.relative_to(ROOT)): {m for m in modules(path) if _is_in(m, banned)}
        for path in files(folder)
    }
    return {name: found for name, found in seen.items() if found}


def _is_in(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def test_gpt_knows_nothing_of_the_harness() -> None:
    assert importers("gpt", "bench", "studies", "optuna", "mlflow") == {}


ROOMS = (
    {"system", "timing", "drawing"},
    {"metrics", "spec", "cells"},
    {"ledger"},
    {"run"},
    {"record"},
    {"conclude"},
    {"plan"},
    {"results"},
    {"report"},
    {"conduct"},
    {"micro"},
    {"speed", "study", "compare", "power", "export", "sample", "tokens", "ui"},
)
"""The rooms of bench/ in the order of the data: each may import what stands before it."""


def test_the_rooms_of_the_harness_stand_in_the_order_of_the_data() -> None:
    """So a worker imports no microbenchmark, and what a run records knows no conclusion."""
    order = {room: place for place, rooms in enumerate(ROOMS) for room in rooms}
    paths = [
        path for path in files("bench") if path.parent != ROOT / "bench" or path.stem != "__init__"
    ]
    rooms = {path: path.relative_to(ROOT / "bench").parts[0].removesuffix(".py") for path in paths}
    assert set(rooms.values()) == order.keys()

    backwards = {
        f"{path.relative_to(ROOT)}: {module}"
        for path, room in rooms.items()
        for module in modules(path)
        if module.startswith("bench.") and order.get(module.split(".")[1], 0) > order[room]
    }
    assert backwards == set()


def test_the_model_knows_nothing_of_its_training_and_acceleration() -> None:
    later = ("gpt.training", "gpt.acceleration")
    for room in ("config", "corpora", "tokenizers", "attention", "model"):
        assert importers(f"gpt/{room}", *later) == {}


def test_configs_load_without_torch() -> None:
    """Not by their own imports, nor by those of the modules of gpt that they import."""
    reached: set[Path] = set()
    waiting = set(files("gpt/config"))
    while waiting:
        path = waiting.pop()
        reached.add(path)
        waiting |= _sources(modules(path)) - reached

    assert not any(_is_in(m, ("torch", "numpy")) for path in reached for m in modules(path))


def _sources(imported: set[str]) -> set[Path]:
    """The files of gpt that these modules are, and the packages on the way to them."""
    parts = [module.split(".") for module in imported if _is_in(module, ("gpt",))]
    paths = {ROOT.joinpath(*part[:i]) for part in parts for i in range(1, len(part) + 1)}
    candidates = {path.with_suffix(".py") for path in paths} | {p / "__init__.py" for p in paths}
    return {path for path in candidates if path.is_file()}


@pytest.mark.parametrize("path", files("studies"), ids=lambda path: path.stem)
def test_a_study_imports_its_question_and_nothing_else(path: Path) -> None:
    allowed = ("bench.spec", "gpt.config", "gpt.presets", "dataclasses", "functools")

    assert not {module for module in modules(path) if not _is_in(module, allowed)}


def test_one_package_knows_mlflow() -> None:
    knowing = set(importers("bench", "mlflow"))
    assert knowing
    assert {Path(path).parent.as_posix() for path in knowing} == {"bench/record/tracking"}


@pytest.mark.parametrize("folder", [*PACKAGES, "tests"])
def test_nothing_unpickles(folder: str) -> None:
    assert importers(folder, "pickle", "cPickle", "dill", "joblib", "shelve", "cloudpickle") == {}


@pytest.mark.parametrize("folder", PACKAGES)
def test_every_import_is_standard_ours_or_declared(folder: str) -> None:
    """So that `pip install` brings all that is needed."""
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    strangers = {
        f"{path.relative_to(ROOT)}: {top}"
        for path in files(folder)
        for top in {module.partition(".")[0] for module in modules(path)}
        if top not in sys.stdlib_module_names
        and top not in PACKAGES
        and f'"{top.replace("_", "-")}>' not in text
    }
    assert strangers == set()


def test_the_reader_of_imports_sees_them_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    path = tmp_path / "a" / "b" / "c.py"
    path.parent.mkdir(parents=True)
    path.write_text(
        "import one.two as x\nfrom three import four\n"
        "from . import five\nfrom ..six import seven\n"
        "def f():\n    import eight\n"
    )

    absolute, relative = {"one.two", "three", "three.four", "eight"}, {"a.b", "a.b.five"}
    assert modules(path) == absolute | relative | {"a.six", "a.six.seven"}


POSIX_ONLY = ("resource", "fcntl", "pwd", "grp", "termios", "multiprocessing.forkserver")


def import_all() -> None:
    """But what pytest imports, and what the fork server does, on Linux."""
    for path in [*files("gpt"), *files("bench")]:
        if not path.name.startswith(("__init__", "conftest", "test_", "preload")):
            importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))


def test_all_is_imported_where_posix_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows: without the modules, and the names, that Python has elsewhere alone."""
    import_all()  # with it the libraries, which know by themselves where they are
    for name in ("Library", "register_fake"):  # operators are registered once in a process
        monkeypatch.setattr(f"torch.library.{name}", Mock())
    for name in POSIX_ONLY:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delattr("multiprocessing.context.ForkServerContext")
    for name in ("signal.SIGKILL", "signal.pthread_sigmask", "os.fork", "os.getuid"):
        monkeypatch.delattr(name)
    for name in [name for name in sys.modules if _is_in(name, PACKAGES)]:
        monkeypatch.delitem(sys.modules, name)
    import_all()


def implicit_encodings(source: str) -> list[str]:
    """Calls that read or write text in the locale's encoding, whatever that is today."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute | ast.Name):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        n_before = {"read_text": 0, "write_text": 1}.get(name)
        if n_before is not None and len(node.args) == n_before and "encoding" not in given:
            found.append(ast.unparse(node))
        if name in ("run", "Popen", "check_output") and "text" in given:
            found.append(ast.unparse(node))
        modes = [given.get("mode", ""), *map(ast.unparse, node.args)]
        binary = any(re.fullmatch(r"'[rwax+]*b[rwax+]*'", mode) for mode in modes)
        if name == "open" and "encoding" not in given and not binary:
            found.append(ast.unparse(node))
    return found


def test_the_reader_of_encodings_sees_them_all() -> None:
    for call in ("p.read_text()", "p.write_text('x')", "open('f')", "p.open('w')"):
        assert implicit_encodings(call) == [call]
    assert implicit_encodings("subprocess.run(['x'], text=True)")
    for call in ("p.read_text('utf-8')", "p.open('rb+')", "open('f', encoding='utf-8')"):
        assert implicit_encodings(call) == []


@pytest.mark.parametrize("folder", PACKAGES)
def test_text_is_read_and_written_in_utf_8_in_every_locale(folder: str) -> None:
    found = {
        f"{path.relative_to(ROOT)}: {call}"
        for path in files(folder)
        for call in implicit_encodings(path.read_text("utf-8"))
        if not call.startswith("Ledger.open(")
    }
    assert found == set()
