"""A web service that stays quick while it computes: FastAPI, worker processes, a background task.

    python examples/lifespan_service.py [PORT]

    curl localhost:8000/quick                     # answers at once, whatever else is going on
    curl localhost:8000/primes/300000             # computes in a worker process
    curl localhost:8000/on-the-loop/300000        # the same work in the wrong place: meanwhile nobody is answered
    curl localhost:8000/tasks                     # what the background tasks are doing

Needs fastapi and uvicorn. Ctrl-C stops the tasks and the workers, then the program.
"""

from __future__ import annotations

import sys
from typing import Annotated

import uvicorn
from fastapi import FastAPI, Path

from pipelines.tasks import BackgroundTaskManager, TaskContext, task

REFRESH_SECONDS = 60.0
Limit = Annotated[int, Path(le=1_000_000)]  # whoever computes for strangers says how much
known: dict[str, int] = {}


def count_primes(below: int) -> int:
    """Count the primes, slowly: CPU work that stands for yours. A worker imports it from this file."""
    return sum(all(number % divisor for divisor in range(2, int(number**0.5) + 1)) for number in range(2, below))


@task(cpu_bound=True, startup="wait", restart="on_error", shutdown_timeout=2.0)
async def refresh(context: TaskContext) -> None:
    """Keep a figure fresh. The service opens its port when the first one is there."""
    while True:
        known["primes below 10000"] = await context.run_cpu(count_primes, 10_000)
        context.ready()
        if await context.pause(REFRESH_SECONDS):
            return


manager = BackgroundTaskManager(refresh)
app = FastAPI(title="Primes", lifespan=manager.lifespan)


@app.get("/quick")
async def quick() -> dict[str, int]:
    """Answer from memory."""
    return known


@app.get("/primes/{below}")
async def primes(below: Limit) -> int:
    """Compute in a worker process; the loop serves others meanwhile."""
    return await manager.run_cpu(count_primes, below)


@app.get("/on-the-loop/{below}")
async def on_the_loop(below: Limit) -> int:
    """Do what one must not do."""
    return count_primes(below)


@app.get("/tasks")
async def tasks() -> dict[str, str]:
    """Tell what the background tasks are doing."""
    return {name: status.state for name, status in manager.status().items()}


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    # By name, so that this file is a module which the workers can import, and not "__main__".
    uvicorn.run("lifespan_service:app", host="127.0.0.1", port=port)
