"""Imported by the fork server, once for all workers; first it binds itself to the command's life.

No other process may import this module, because it would then be killed with its own parent.
"""

from bench.system.lifeline import killed_with_parent

killed_with_parent()

import torch._dynamo  # noqa: E402, F401  # torch's first optimizer imports it

import bench.run.worker  # noqa: E402, F401
