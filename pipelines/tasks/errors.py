"""Errors of background tasks.

PipelineError
├── StartupFailed          a task that the service waits for ended before it was ready
│   └── StartupTimeout     it was not ready in time
└── NotCpuBound            `run_cpu` in a task that was not declared `cpu_bound`
"""

from pipelines.errors import PipelineError


class StartupFailed(PipelineError):
    """A task that the service waits for ended before it was ready; its own error is the cause."""


class StartupTimeout(StartupFailed, TimeoutError):
    """A task that the service waits for was not ready within its `startup_timeout`."""


class NotCpuBound(PipelineError, RuntimeError):
    """`run_cpu` was called in a task that was not declared `cpu_bound`."""
