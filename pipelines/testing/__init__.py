"""Suites for what users build themselves: each raises AssertionError with the rule, the case and the remedy."""

from pipelines.testing.backend import check_backend
from pipelines.testing.sink import Sink, check_sink
from pipelines.testing.stage import StageReport, check_stage

__all__ = ["Sink", "StageReport", "check_backend", "check_sink", "check_stage"]
