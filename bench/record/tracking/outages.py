"""Is an error of the store an outage, which passes, or a refusal, which would only repeat itself?

MLflow raises the same exception for both, so its error code decides. A refused message would be
refused again each time. Where the code leaves it open, the error counts as an outage.
"""

import logging
from http import HTTPStatus

import requests
from mlflow.exceptions import MlflowException

from bench.system.redact import redacted

for _chatty in ("alembic", "mlflow", "urllib3"):  # errors are raised too, and printed once
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
"""MLflow's error codes for a wrong request. Missing credentials are not among them: the same
request succeeds once they are given."""

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
    """The first line of an error's message, without credentials."""
    return redacted(str(error).strip().partition("\n")[0]) or type(error).__name__
