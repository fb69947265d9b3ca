"""A pipeline is built once in each worker, before its first page where the pool is told to."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path

import pytest

from pipelines.errors import PoolBroken
from pipelines.pipeline import BUILT_IN, Pipeline
from pipelines.pool.pool import WorkerPool
from pipelines.spec import PipelineSpec
from pipelines.testing.hostile import ordinary_pages
from pipelines.work import process_batch

sys.path.insert(0, str(Path(__file__).parent))
from backend_makers import Counted


def test_a_class_is_constructed_once_in_each_worker() -> None:
    before = Counted.made
    spec = PipelineSpec(stages=(*BUILT_IN, Counted)).dumps()
    with WorkerPool(2, initializer=partial(process_batch, spec, [])) as pool:
        futures = [pool.submit(process_batch, spec, [page]) for page in ordinary_pages(40)]
        records = [json.loads(future.result(20)[0].line) for future in futures]
    assert {record["made"] for record in records} == {1}
    assert Counted.made == before, "none is made in the process that only sends"


def test_a_stage_that_no_worker_finds_is_told_to_whoever_waits() -> None:
    """The parent may be able to import what the workers cannot; the pool gives up with the stage's own words."""
    spec = PipelineSpec(stages=("a_module_that_nobody_has:f",)).dumps()
    with (
        WorkerPool(1, initializer=partial(process_batch, spec, [])) as pool,
        pytest.raises(PoolBroken, match="cannot import a_module_that_nobody_has"),
    ):
        pool.submit(process_batch, spec, []).result(20)


def test_a_spec_is_small() -> None:
    """It travels with every batch."""
    assert len(Pipeline([*BUILT_IN, Counted]).spec.dumps()) < 1000
