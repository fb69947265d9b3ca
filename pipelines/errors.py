"""Errors of the pipelines package.

PipelineError
├── PoolError
│   ├── PoolClosed         submitted to a pool that is closing
│   ├── PoolBroken         workers die as fast as they start: the circuit breaker opened
│   ├── TaskTimeout        the deadline passed; the worker was killed
│   ├── WorkerCrashed      the worker died while it ran this task
│   │   └── WorkerOutOfMemory  it was killed because the task took too much memory
│   ├── ResultTooLarge     the result is larger than the pool lets through
│   └── TaskNotPicklable   the function or an argument cannot be sent to another process
├── RemoteError            the task raised something that cannot travel
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


class WorkerOutOfMemory(WorkerCrashed):
    """The worker was killed for the memory that the task took: by its own limit or by the kernel."""


class ResultTooLarge(PoolError):
    """The task's result, pickled, is larger than the pool's `max_result_bytes`; it was not sent."""


class TaskNotPicklable(PoolError, TypeError):
    """The function or an argument cannot be sent to another process."""


class RemoteError(PipelineError):
    """The task raised an exception that cannot travel; the message tells its type and text."""


class StageError(PipelineError):
    """A stage could not be found, imported or built."""
