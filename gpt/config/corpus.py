"""Which text, and how much of it is held out."""

from dataclasses import dataclass

from gpt.config import check
from gpt.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class CorpusConfig:
    """The text of a run. Where its file lies is not part of it: `--corpora-dir` says that."""

    name: str = "pydocs"
    """A corpus by name (`pydocs`, `tinyshakespeare`, `don_quixote`), or the path of a UTF-8 file
    or of a folder of `.txt` files."""

    val_fraction: float = 0.1
    """Share of the raw bytes held out, from the end of the text."""

    def __post_init__(self) -> None:
        if not self.name:
            raise ConfigError("corpus must be a name or a path but got ''")
        check.within(0.001, 0.9, self, "val_fraction")
