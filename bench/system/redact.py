"""Remove passwords and tokens from every text that leaves the process.

Two methods are used, because neither is enough alone: patterns for the forms in which credentials
are written (addresses, query parameters, `password=`, headers), and a search for the values of
secret environment variables. In doubt, text is redacted: a password may hold `/`, `@` or `:`.
"""

import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from functools import lru_cache
from typing import Any, TextIO, cast
from urllib.parse import quote, unquote

HIDDEN = "***"

_SHORTEST = 6
"""Shortest environment secret that is searched for; a shorter one would match common words."""

_SECRET_VARIABLE = re.compile(
    r"(PASSWORD|PASSWD|TOKEN|SECRET|API_?KEY|ACCESS_KEY|PRIVATE_KEY|CREDENTIALS?)$", re.IGNORECASE
)
_ADDRESS_VARIABLE = re.compile(r"(URI|URL|DSN|_PROXY)$", re.IGNORECASE)

_USER = re.compile(r"(\b[a-z][a-z0-9+.-]*:)?//\S*@", re.IGNORECASE)
"""User and password of an address, up to the last `@`: a password may hold `@` and `/`."""

_NAMES = (
    r"(?:[\w.-]*?(?:passw(?:or)?d|passphrase|pwd|secret|api[_-]?key|access[_-]?key|credential|"
    r"signature|[_-]token)|token|jwt|key|sig|auth|pass)"
)
_PARAMETER = re.compile(rf"([?&;#]{_NAMES}=)[^&\s'\"]+", re.IGNORECASE)
_SETTING = re.compile(
    r"((?<![?&;\w-])[\w-]*(?:passw(?:or)?d|passphrase|secret|api[_-]?key|access[_-]?key)['\"]?\s*[=:]\s*)"
    r"('[^']*'|\"[^\"]*\"|\S+)",
    re.IGNORECASE,
)
_HEADER = re.compile(r"(\bauthorization\W+(?:bearer|basic)\s+)\S+", re.IGNORECASE)


def redacted(text: str) -> str:
    """Text without credentials: `//host` for `//user:password@host`, and `***` for others."""
    for secret in _secrets(frozenset(os.environ.items())):
        text = text.replace(secret, HIDDEN)
    if "@" in text:
        text = _USER.sub(lambda found: f"{found[1] or ''}//", text)
    for pattern in (_PARAMETER, _SETTING, _HEADER):
        text = pattern.sub(rf"\g<1>{HIDDEN}", text)
    return text


def redacted_all(value: Any) -> Any:
    """A value of lists and dicts with every text in it redacted."""
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, Mapping):
        return {redacted_all(key): redacted_all(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redacted_all(item) for item in value]
    return value


@contextmanager
def redacted_output() -> Iterator[None]:
    """Redact what the block writes to `sys.stdout` and `sys.stderr`."""
    with ExitStack() as stack:
        stack.enter_context(redirect_stdout(cast(TextIO, _Redacted(sys.stdout))))
        stack.enter_context(redirect_stderr(cast(TextIO, _Redacted(sys.stderr))))
        yield


class _Redacted:
    """A text stream that redacts what is written, a call at a time."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(redacted(text))
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@lru_cache(1)
def _secrets(environment: frozenset[tuple[str, str]]) -> list[str]:
    """The environment's secrets, longest first, as they are and as an address spells them."""
    found = set()
    for name, value in environment:
        if _SECRET_VARIABLE.search(name):
            found.add(value)
        elif _ADDRESS_VARIABLE.search(name):
            found |= _passwords_in(value)
    spelled = {text for value in found for text in (value, unquote(value), quote(value, safe=""))}
    return sorted((text for text in spelled if len(text) >= _SHORTEST), key=len, reverse=True)


def is_ambiguous(address: str) -> bool:
    """Whether a password in an address holds an `@` or `/` of its own.

    Libraries cut such an address elsewhere than its author meant, look up a part of the password
    as a host, and say so in words that no longer hold the password as a whole.
    """
    found = re.fullmatch(r"https?://([^/?#]*)(.*)", address, re.IGNORECASE | re.DOTALL)
    if found is None:
        return False
    authority, rest = found.groups()
    port = authority.rpartition(":")[2] if ":" in authority else "0"
    cut_short = "@" in rest and ("@" in authority or not port.isdecimal())
    return authority.count("@") > 1 or cut_short


def _passwords_in(address: str) -> set[str]:
    user = re.match(r"[^:/]+://[^:@]*:(.*)@", address)
    parameters = re.findall(rf"[?&;]{_NAMES}=([^&]+)", address, re.IGNORECASE)
    return {*parameters, *([user[1]] if user else [])}
