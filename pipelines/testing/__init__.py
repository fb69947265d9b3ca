"""Suites for what users build themselves: each raises AssertionError with the rule, the case and the remedy."""

from pipelines.testing.backend import check_backend

__all__ = ["check_backend"]
