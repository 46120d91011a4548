"""A device that does its work late, and the only time that passes on it."""

from gpt.training.setup import Setup


class LateDevice:
    """Work that is queued at once and only done, and only takes time, when waited for."""

    def __init__(self) -> None:
        self.seconds = self.queued = 0.0

    def work(self, seconds: float) -> None:
        self.queued += seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds

    def synchronize(self, *_: object) -> None:
        self.seconds, self.queued = self.seconds + self.queued, 0.0

    def now(self) -> float:
        return self.seconds


def watch(setup: Setup, late: LateDevice, *, step: float = 1.0, evaluation: float = 1.0) -> Setup:
    """The same setup, with a model whose forward passes take this long on `late`."""
    setup.model.register_forward_pre_hook(
        lambda model, _: late.work(step if model.training else evaluation)
    )
    return setup
