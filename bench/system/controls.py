"""Control characters of a text, which a terminal would obey: they are spelled, not written."""

import re

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def spell_controls(text: str) -> str:
    """The text with `<U+001B>` for an escape, and so on; newlines and tabs stay."""
    return _CONTROLS.sub(lambda found: f"<U+{ord(found[0]):04X}>", text)
