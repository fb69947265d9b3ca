"""Errors of the pipelines package.

PipelineError
├── PoolError
│   ├── PoolClosed         submitted to a pool that is closing
│   ├── PoolBroken         workers die as fast as they start: the circuit breaker opened
│   ├── TaskTimeout        the deadline passed; the worker was killed
│   ├── WorkerCrashed      the worker died while it ran this task
│   └── TaskNotPicklable   the function or an argument cannot be sent to another process
└── StageError             a stage could not be found or built
"""


class PipelineError(Exception):
    """Base of all errors raised by this package."""


class PoolError(PipelineError):
    """Something about the worker processes, not about the task."""


class PoolClosed(PoolError):
    """The pool is closing or closed and takes no more tasks."""


class PoolBroken(PoolError):
    """Workers die as fast as they are started; see the cause for the last death."""


class TaskTimeout(PoolError, TimeoutError):
    """The task ran past its deadline and its worker was killed."""


class WorkerCrashed(PoolError):
    """The worker process died while it ran the task; only this task is affected."""


class TaskNotPicklable(PoolError, TypeError):
    """The function or an argument cannot be sent to another process."""


class StageError(PipelineError):
    """A stage could not be found, imported or built."""
