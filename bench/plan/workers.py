"""How many runs go side by side, and with how many threads each?"""

from bench.metrics import RELATIVE
from bench.plan.plan import Plan, Request
from bench.system.cores import cpu_count
from gpt.device import available_devices


def at_once(request: Request, plan: Plan) -> int | None:
    """As many as the request says; else one where time is asked for, since runs slow each other.

    None: as many as the machine has room for.
    """
    return request.workers or (1 if plan.study.metric in RELATIVE else None)


def side_by_side(request: Request, plan: Plan) -> tuple[int, int]:
    """Runs that this machine does side by side, and the threads of each.

    By default a run a core on the CPU, where two threads are worth less than two runs, and one on
    a GPU.
    """
    n_workers = at_once(request, plan)
    if n_workers is None:
        best = available_devices()[0]
        configs = (cell.config for cell in plan.grid.cells)
        devices = {best if c.train.device == "auto" else c.train.device for c in configs}
        n_workers = min(cpu_count(), plan.n_runs) if devices == {"cpu"} else 1
    return n_workers, max(1, cpu_count() // n_workers)
