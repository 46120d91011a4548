"""Is the store away, or does it refuse what it was given? One is waited for, the other never ends.

MLflow raises the same exception for both; its error code tells them apart. A refusal is about one
message: it would be refused again each time. Where the code leaves it open, it is an outage.
"""

import logging
from http import HTTPStatus

import requests
from mlflow.exceptions import MlflowException

from bench.system.redact import redacted

for _chatty in ("alembic", "mlflow", "urllib3"):  # what goes wrong is raised too, and said once
    logging.getLogger(_chatty).setLevel(logging.CRITICAL)

REFUSALS = frozenset(
    {
        "ALREADY_EXISTS",
        "BAD_REQUEST",
        "INVALID_PARAMETER_VALUE",
        "INVALID_STATE",
        "MALFORMED_REQUEST",
        "NOT_FOUND",
        "NOT_IMPLEMENTED",
        "RESOURCE_ALREADY_EXISTS",
        "RESOURCE_DOES_NOT_EXIST",
    }
)
"""MLflow's error codes for what is wrong with the request. Missing credentials are none: with them
the same request is taken."""

_WAITED_FOR = (
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_MANY_REQUESTS,
)


def is_outage(error: Exception) -> bool:
    """Whether the same call may succeed later: the store is away, locked, full or closed to us."""
    if isinstance(error, MlflowException):
        return error.error_code not in REFUSALS
    if isinstance(error, requests.HTTPError) and error.response is not None:
        status = error.response.status_code
        return status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _WAITED_FOR
    return isinstance(error, OSError)


def first_line(error: BaseException) -> str:
    """What an error says first, without the credentials in it."""
    return redacted(str(error).strip().partition("\n")[0]) or type(error).__name__
