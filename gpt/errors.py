"""What can go wrong, by who has to act: the user, the data, the machine, or nobody.

Every message states the rule, the value received and what to do, in one or two lines: it is shown
to a person as it stands. `exit_code` is what a command that ends with the error returns.
"""


class GptBenchError(Exception):
    """Base of every error that the suite raises on purpose."""

    exit_code = 1


class ConfigError(GptBenchError):
    """The command, the study or a config is wrong."""

    exit_code = 2


class ConfigTypeError(ConfigError):
    """A config's field has a value of another type: a slip in the code that makes the config."""


class DataError(GptBenchError):
    """The corpus is wrong: empty, not UTF-8, too short, not what its digest says."""

    exit_code = 3


class MachineError(GptBenchError):
    """A device, a file system or a service that was asked for is not there."""

    exit_code = 4


class InfeasibleError(GptBenchError):
    """This cell can't exist on this text or machine; the others of its grid may."""

    exit_code = 5


class UnsoundError(GptBenchError):
    """A run's canary failed: it would see the future, or compute something else than it says."""

    exit_code = 5


class DivergedError(GptBenchError):
    """The loss became NaN or infinite."""

    exit_code = 5

    def __init__(self, step: int, loss: float) -> None:
        super().__init__(f"the loss must stay finite but was {loss} at step {step}")
        self.step, self.loss = step, loss

    def __reduce__(self) -> tuple[type, tuple[int, float]]:
        return type(self), (self.step, self.loss)
