"""Which pages of MLflow's UI show the studies of a folder? As their ledgers keep them."""

import os
import sys
import webbrowser
from dataclasses import dataclass
from pathlib import Path

from bench.ledger.ledger import Ledger
from bench.ledger.paths import LedgerFile, is_set_aside, ledger_names, ledger_path, ledgers_of
from bench.plan.about import About
from bench.record.database import database_file, store_address
from bench.record.report_page import report_page_of
from gpt.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Links:
    """The pages of studies that share a store."""

    store: str
    """The address of the tracking store."""

    folder: Path
    """Where they were run."""

    pages: dict[str, dict[str, str]]
    """Title of a study -> name of a view -> its page, from the root of a UI on; the study that was
    recorded last comes first."""

    @property
    def server(self) -> str:
        """The address of the UI, if the store is a server, which has one; else ""."""
        return self.store.rstrip("/") if self.store.startswith("http") else ""


def links_of(study: str | None) -> Links:
    """The pages of a study, or of all that were run in the current folder.

    Raises:
        ConfigError: there is no such study, or nothing is recorded.
    """
    if study is not None:
        ledgers = ledgers_of(study)[:1]
    else:
        paths = [ledger_path(name).absolute() for name in ledger_names()]
        all_ = [ledgers_of(str(path))[0] for path in paths if not is_set_aside(path)]
        ledgers = [ledger for ledger in all_ if ledger.part == "study"]
    folder = ledgers[0].folder if ledgers else Path.cwd()
    store = store_address(folder)
    if (path := database_file(store)) is not None and not path.is_file():
        raise ConfigError(
            f"a folder where a study was run has its record but {path} is not there: start from "
            "that folder, or run a study first"
        )
    latest = sorted(ledgers, key=lambda ledger: ledger.path.stat().st_mtime, reverse=True)
    pages = dict(shown for ledger in latest if (shown := _pages(ledger, store)))
    if not pages:
        named = f"{study!r} was not" if study else "none of this folder was"
        raise ConfigError(f"a study must be recorded to be shown but {named}: run it to its end")
    return Links(store=store, folder=folder, pages=pages)


def _pages(ledger: LedgerFile, store: str) -> tuple[str, dict[str, str]] | None:
    """A study's title and its pages; None if it is not recorded."""
    reading = Ledger.read(ledger.path)
    if (record := reading.noted("record")) is None:
        return None
    about = About.read(reading)
    title = about.title if about else ledger.study
    pages = {name: address[address.index("/#") :] for name, address in record["views"].items()}
    if (report := report_page_of(store, reading.id)) is not None:  # perhaps attached since
        pages["report"] = f"/{report}"
    return title, pages


def open_in_browser(address: str) -> None:
    """Open a page, where there is a browser with windows; one in a terminal would take it over."""
    has_windows = "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ
    if has_windows or sys.platform in ("win32", "darwin"):
        webbrowser.open_new_tab(address)
