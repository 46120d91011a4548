"""What the fork server imports, once for all workers; first, that it ends with its command.

For no other process to import: it would end with the one that started it.
"""

from bench.system.lifeline import killed_with_parent

killed_with_parent()

import torch._dynamo  # noqa: E402, F401  # torch's optimizers do, as the first one is made

import bench.run.worker  # noqa: E402, F401
