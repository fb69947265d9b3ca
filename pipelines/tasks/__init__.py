"""Long-running background tasks of a service: supervised, restarted, stopped in time. The standard library only."""

from pipelines.tasks.context import TaskContext
from pipelines.tasks.errors import NotCpuBound, StartupFailed, StartupTimeout
from pipelines.tasks.lifespan import lifespan
from pipelines.tasks.manager import BackgroundTaskManager
from pipelines.tasks.options import task
from pipelines.tasks.restart import Backoff, Clock
from pipelines.tasks.status import State, StopReport, TaskStatus

__all__ = [
    "BackgroundTaskManager",
    "Backoff",
    "Clock",
    "NotCpuBound",
    "StartupFailed",
    "StartupTimeout",
    "State",
    "StopReport",
    "TaskContext",
    "TaskStatus",
    "lifespan",
    "task",
]
