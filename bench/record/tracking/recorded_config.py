"""The config of a recorded run, for `--from-run`."""

import mlflow
from mlflow.tracking import MlflowClient

from bench.record.tracking.outages import first_line, is_outage
from bench.record.tracking.store import database_of, reach, refusal
from gpt.config import RunConfig
from gpt.errors import ConfigError


def load_config(run_id: str) -> RunConfig:
    """The config of a recorded run.

    Raises:
        ConfigError: there is no such run, or it has no config.
        MachineError: the tracking store is not there.
    """
    uri = mlflow.get_tracking_uri()
    wrong = f"--from-run takes the id of a recorded run but got {run_id}"
    if (path := database_of(uri)) is not None and not path.exists():
        raise ConfigError(f"{wrong}, and nothing is recorded here: {path} is not there")
    try:
        reach(uri)
        MlflowClient(uri).get_run(run_id)
        text = mlflow.artifacts.load_text(f"runs:/{run_id}/config.json")
    except Exception as error:
        if is_outage(error):
            raise refusal(uri, error) from error
        raise ConfigError(f"{wrong} ({first_line(error)})") from error
    return RunConfig.from_json(text)
