"""How do the tokenizers of a study cut a text? Shown token by token, with nothing invisible."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from bench.results.saved_tokenizer import encode_typed, load_saved_tokenizer, refuse_no_text
from bench.results.table import load
from gpt.errors import ConfigError, DataError
from gpt.tokenizers import Tokenizer

BETWEEN = "│"
"""Stands between tokens where there are no colours."""

MARKS = {" ": "␣", "\n": "⏎\n", "\r": "␍", "\t": "⇥"}
"""Stand for characters that can't be seen."""

OWN = {*"".join(MARKS.values()), BETWEEN} - {"\n"}
"""Characters that mean something here, so a text's own are spelled."""

STYLES = ("black on bright_cyan", "black on bright_yellow")
"""Of tokens in turn; told apart by the colour-blind too."""


def visible(token: bytes) -> str:
    """A token's bytes as text; what is no character of its own as `<0xE2>`."""
    return "".join(map(_visible, token.decode("utf-8", errors="surrogateescape")))


def _visible(character: str) -> str:
    if character in MARKS:
        return MARKS[character]
    if "\udc80" <= character <= "\udcff":  # half a character
        return f"<0x{ord(character) - 0xDC00:02X}>"
    plain = character.isprintable() and character not in OWN
    return character if plain else f"<U+{ord(character):04X}>"


@dataclass(frozen=True, kw_only=True)
class Cut:
    """A text as one tokenizer cuts it."""

    name: str
    tokens: Sequence[bytes] = ()
    remark: str = ""
    """Why there are no tokens, or what is wrong with them."""

    @property
    def heading(self) -> str:
        """Name, number of tokens, and bytes per token."""
        n = len(self.tokens)
        if not n:
            return f"{self.name}: {self.remark}"
        size = sum(map(len, self.tokens)) / n
        return f"{self.name}: {n} token{'s' * (n != 1)}, {size:.2f} bytes per token{self.remark}"

    def __rich_console__(self, console: Console, _: ConsoleOptions) -> RenderResult:
        yield Text(self.heading, style="bold")
        if not self.tokens:
            return
        if console.color_system is None or console.no_color:
            lines = BETWEEN.join(map(visible, self.tokens))
            yield Text(lines, no_wrap=True, overflow="ignore")
        else:
            parts = [(visible(t), STYLES[i % len(STYLES)]) for i, t in enumerate(self.tokens)]
            yield Text.assemble(*parts, overflow="fold")


def cuts_of(study: str, text: str, folder: Path = Path()) -> list[Cut]:
    """How each tokenizer of a study cuts a text, in the order in which its cells were begun.

    Raises:
        ConfigError: there is no such study, or the text is empty.
        MachineError: its ledger can't be read.
    """
    if not text:
        raise ConfigError("a text must hold at least one character but got none")
    refuse_no_text(text)
    runs = load(study, folder=folder)
    runs = runs[runs.part == runs.part.iloc[0]] if len(runs) else runs
    kinds: dict[str, list[Any]] = {}
    for run in runs.itertuples():  # one whose tokenizer was never made stands for its cell
        digest = getattr(run, "tokenizer_digest", None)
        kinds.setdefault(digest if isinstance(digest, str) else run.cell, []).append(run)
    names = [_name(of) for of in kinds.values()]
    n_same = Counter(names)
    return [
        _cut(name if n_same[name] == 1 else f"{name} ({digest[:8]})", of, text, runs.folders)
        for name, (digest, of) in zip(names, kinds.items(), strict=True)
    ]


def _name(runs: Sequence[Any]) -> str:
    """Of a tokenizer that one cell has, its label; of one that several have, what it is."""
    if len({run.cell_key for run in runs}) == 1:
        return str(runs[0].cell)
    return f"{runs[0].tokenizer} {int(runs[0].vocab_size)}"


def _cut(name: str, runs: Sequence[Any], text: str, folders: Sequence[Path]) -> Cut:
    if not isinstance(getattr(runs[0], "tokenizer_digest", None), str):
        return Cut(name=name, remark=f"no tokenizer ({runs[0].outcome}: {runs[0].reason})")
    remark = "MLflow's record of its runs is gone, and the tokenizer with it"
    for run, folder in product(runs, folders):
        if isinstance(run.run_id, str):
            try:
                return _cut_by(load_saved_tokenizer(run.run_id, folder), name, text)
            except DataError as error:
                remark = str(error)
    return Cut(name=name, remark=remark)


def _cut_by(tokenizer: Tokenizer, name: str, text: str) -> Cut:
    try:
        ids = encode_typed(tokenizer, text)
    except ConfigError as error:
        return Cut(name=name, remark=str(error))
    tokens = [tokenizer.decode_bytes([token]) for token in ids]
    lossy = "" if b"".join(tokens) == text.encode() else "; lossy: the text does not come back"
    return Cut(name=name, tokens=tokens, remark=lossy)
