"""Where CPU work runs: inline, in threads, in the local pool, on any `concurrent.futures.Executor`."""

from pipelines.backends.backend import Backend, Guarantee, lacking, log_lacking
from pipelines.backends.foreign import ForeignBackend, warn_of
from pipelines.backends.inline import InlineBackend
from pipelines.backends.local import LocalBackend
from pipelines.backends.threads import ThreadsBackend

__all__ = [
    "Backend",
    "ForeignBackend",
    "Guarantee",
    "InlineBackend",
    "LocalBackend",
    "ThreadsBackend",
    "lacking",
    "log_lacking",
    "warn_of",
]
