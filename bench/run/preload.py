"""What the fork server imports, once for all workers; first, that it ends with its command.

For no other process to import: it would end with the one that started it.
"""

from bench.system.lifeline import killed_with_parent

killed_with_parent()

import bench.run.worker  # noqa: E402, F401
