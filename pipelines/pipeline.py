"""A list of stages as one picklable value, and the pages that go through it.

A `PipelineSpec` is what a crawl asks for. It travels to the workers as bytes; each worker builds the `Pipeline` once
and keeps it, with what it remembers of URLs and words. A `Pipeline` works alone as well: on local files, without any
crawl.

One bad page costs one page. An exception of any stage, of the user's too, becomes `Processed(error="parse_error")`
for that page; it is the only place in this package where everything is caught. What a worker remembers as reported is
written down last, when nothing can go wrong with the page any more, and taken back when a batch does not leave the
worker.
"""

from __future__ import annotations

import gc
import pickle
from collections import OrderedDict
from collections.abc import Sequence

import orjson

from pipelines.page import Document, Page, Processed, Target
from pipelines.spec import Admit, PipelineSpec
from pipelines.stages.decode import Decode
from pipelines.stages.hash import hash_page
from pipelines.stages.options import LinkSet, StageOptions
from pipelines.stages.parse import Parse
from pipelines.stages.query import query_rules
from pipelines.stages.record import Record
from pipelines.stages.targets import Targets
from pipelines.stages.user import Stage, load_stage
from pipelines.stages.verify import verify
from pipelines.url import fingerprinter

MAX_DETAIL_CHARS = 500
MAX_PIPELINES = 4  # several crawls may share a pool; each pipeline remembers tens of megabytes

__all__ = ["Admit", "LinkSet", "Pipeline", "PipelineSpec", "Stage", "StageOptions", "process_batch"]


class Pipeline:
    """decode → parse → hash → verify → your stages → record, in this process, one page at a time."""

    def __init__(self, spec: PipelineSpec | None = None) -> None:
        """Build the stages. Raises StageError when one of the user's cannot be found."""
        spec = spec or PipelineSpec()
        options = spec.options
        rewrite = query_rules(options.drop_query_keys, options.sort_query)
        self.targets = Targets(fingerprinter(spec.fingerprint_key), spec.admit, rewrite)
        self.stages: list[Stage] = [Decode(options), Parse(options, self.targets), hash_page, verify]
        self.stages += map(load_stage, options.stages)
        self.record = Record(options)
        self._store_body = options.store_body
        self.reported: list[Target] = []
        """Links handed out since the caller last emptied this list."""

    def process(self, page: Page) -> Processed:
        """Return what `page` became. Never raises an Exception: see the module's text."""
        try:
            return self._process(page)
        except Exception as error:  # noqa: BLE001 - the documented boundary: one bad page costs one page
            return _failed(page, "parse_error", f"{type(error).__name__}: {error}")

    def _process(self, page: Page) -> Processed:
        self.targets.forget_if_full()
        doc = Document(page)
        for stage in self.stages:
            if (changed := stage(doc)) is not None:
                doc = _document(changed, stage)
            if doc.error is not None:
                return _failed(page, doc.error, doc.detail)
        admitted, refused = self.targets.unreported(doc.follow)
        result = Processed(
            page.id,
            self.record.line(doc),
            int.from_bytes(bytes.fromhex(doc.sha256[:16]), "big", signed=True),
            _outlinks(admitted),
            _refused(refused),
            None,
            "",
            doc.body if self._store_body else None,
            doc.sha256,
            doc.truncated,
            len(doc.body),
            doc.other_links,
        )
        self._reported(admitted)
        self._reported(refused)
        return result

    def _reported(self, targets: list[Target]) -> None:
        if targets:
            self.targets.mark_reported(targets)
            self.reported += targets


def _document(changed: object, stage: Stage) -> Document:
    if not isinstance(changed, Document):
        name = getattr(stage, "__qualname__", repr(stage))
        raise TypeError(f"stage {name} returned a {type(changed).__name__}, expected a Document or None")
    return changed


def _failed(page: Page, reason: str, detail: str) -> Processed:
    detail = detail[:MAX_DETAIL_CHARS].encode("utf-8", "replace").decode()
    return Processed(page.id, b"", 0, b"", b"", reason, detail)


def _outlinks(targets: list[Target]) -> bytes:
    return orjson.dumps([(t.fingerprint, t.url, t.host, t.priority) for t in targets]) if targets else b""


def _refused(targets: list[Target]) -> bytes:
    return orjson.dumps([(t.fingerprint, _text(t.url), t.reason) for t in targets]) if targets else b""


def _text(raw: str) -> str:
    """Return a raw attribute as something UTF-8 can hold."""
    return raw.encode("utf-8", "replace").decode()


_pipelines: OrderedDict[bytes, Pipeline] = OrderedDict()


def process_batch(spec: bytes, pages: Sequence[Page]) -> list[Processed]:
    """Process `pages` with the pipeline of `spec` (from `PipelineSpec.dumps`); runs in a worker process.

    The pipeline is built on first use and kept while it is one of the last four used. Raises StageError when it
    cannot be built.
    """
    pipeline = _pipelines.get(spec)
    if pipeline is None:
        pipeline = _pipelines[spec] = Pipeline(_loads(spec))
        if len(_pipelines) > MAX_PIPELINES:
            _pipelines.popitem(last=False)
    else:
        _pipelines.move_to_end(spec)
    pipeline.reported.clear()
    # A page makes thousands of objects and no cycles. Looking for cycles while it is at work, among all that the worker
    # remembers, costs more than some stages.
    collects = gc.isenabled()
    gc.disable()
    try:
        return [pipeline.process(page) for page in pages]
    except BaseException:
        pipeline.targets.unmark_reported(pipeline.reported)  # nobody will ever see these results
        raise
    finally:
        if collects:
            gc.enable()


def _loads(spec: bytes) -> PipelineSpec:
    loaded = pickle.loads(spec)  # noqa: S301 - made by this program in this run, never read from disk or network
    assert isinstance(loaded, PipelineSpec)
    return loaded
