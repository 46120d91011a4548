"""How fast is the suite, compared with what? `python -m bench.speed` prints one table.

Every row is a ratio of two ways to do the same thing, timed in turn on the machine at hand: the
suite's way, and nanoGPT's, the originals' or a plain loop's. Absolute times are not kept: they say
more about the machine than about the code.
"""
