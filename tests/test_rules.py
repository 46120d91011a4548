"""docs/measurement.md promises thirteen rules, each shown by tests that it names."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROMISES = (ROOT / "docs" / "measurement.md").read_text("utf-8")


def test_every_rule_names_tests_that_exist() -> None:
    sections = re.split(r"^## (\d+)\. ", PROMISES, flags=re.MULTILINE)[1:]
    rules = dict(zip(map(int, sections[::2]), sections[1::2], strict=True))
    assert list(rules) == list(range(1, 14))
    for number, text in rules.items():
        named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text)
        assert named, f"rule {number} names no test"
        for path, test in named:
            source = (ROOT / path).read_text("utf-8")
            assert f"def {test}(" in source, f"rule {number}: {path} has no {test}"
