"""How long do the pieces take, and do they add up to a training step?

`pytest --benchmark-only` times the pieces; `python -m bench.micro report` draws what it found;
`python -m bench.micro explain` sets a training step beside the sum of its parts.
"""
