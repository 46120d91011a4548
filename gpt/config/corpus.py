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
    """Share of the raw bytes held out to compare runs on; it follows the training part."""

    test_fraction: float = 0.0
    """Share of the raw bytes, at the very end, that no run of a sweep looks at: the winner alone
    is measured on it, once. 0: there is no such part."""

    def __post_init__(self) -> None:
        check.field_types(self)
        if not self.name:
            raise ConfigError("corpus must be a name or a path but got ''")
        check.within(0.001, 0.9, self, "val_fraction")
        check.within(0.0, 0.9, self, "test_fraction")
        if self.val_fraction + self.test_fraction >= 1:
            raise ConfigError(
                "val_fraction and test_fraction must leave text to train on but got "
                f"{self.val_fraction} and {self.test_fraction}"
            )
