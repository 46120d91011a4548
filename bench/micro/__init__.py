"""How long do the parts of a GPT take, and do they add up to a training step?

`pytest --benchmark-only` times the parts; `python -m bench.micro report` shows what was found;
`python -m bench.micro explain` sets a training step beside the sum of its parts.
"""
