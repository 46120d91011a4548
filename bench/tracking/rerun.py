"""What was a recorded run trained with?"""

import mlflow
from mlflow.exceptions import MlflowException

from bench.tracking.faults import first_line
from gpt.config import RunConfig
from gpt.errors import ConfigError


def load_config(run_id: str) -> RunConfig:
    """The config of a recorded run.

    Raises:
        ConfigError: there is no such run, or it has no config.
    """
    try:
        return RunConfig.from_json(mlflow.artifacts.load_text(f"runs:/{run_id}/config.json"))
    except MlflowException as error:
        raise ConfigError(
            f"--from-run takes the id of a recorded run but got {run_id} ({first_line(error)})"
        ) from None
