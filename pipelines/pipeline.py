"""A list of stages as one picklable value, and the pages that go through it.

A `PipelineSpec` is what a crawl asks for. It travels to the workers as bytes; each worker builds the `Pipeline` once
and keeps it, with what it remembers of URLs and words. A `Pipeline` works alone as well, on local files, without any
crawl: `Pipeline([decode, parse, hash_page, verify, my_stage])`.

One bad page costs one page. An exception of any stage, of the user's too, becomes `Processed(error="parse_error")`
for that page; it is the only place in this package where everything is caught. What a worker remembers as reported is
written down last, when nothing can go wrong with the page any more, and taken back when a batch does not leave the
worker.
"""

from __future__ import annotations

import gc
import pickle
from collections import OrderedDict
from collections.abc import Callable, Sequence
from os import PathLike, fspath

import orjson

from pipelines.errors import StageError
from pipelines.files import page_from_file, pages_from_files
from pipelines.page import Document, Page, Processed, Target
from pipelines.spec import Admit, PipelineSpec
from pipelines.stages.decode import Decode, decode
from pipelines.stages.hash import Hash, hash_page
from pipelines.stages.options import LinkSet, StageOptions
from pipelines.stages.parse import Parse, parse
from pipelines.stages.query import query_rules
from pipelines.stages.record import Record
from pipelines.stages.targets import Targets
from pipelines.stages.user import Stage, as_stage, label_of, name_of
from pipelines.stages.verify import verify
from pipelines.url import CanonicalUrl, fingerprinter

MAX_DETAIL_CHARS = 500
MAX_PIPELINES = 4  # several crawls may share a pool; each pipeline remembers tens of megabytes

FIRST_STEP, LAST_STEP = "build", "links and record"
"""What is done before the stages and after them, as a person reads it."""

BUILT_IN: tuple[Stage, ...] = (decode, parse, hash_page, verify)
"""What happens to a page unless the list of stages says otherwise; decode first, parse before what reads its text."""

__all__ = [
    "BUILT_IN", "Admit", "LinkSet", "Pipeline", "PipelineSpec", "Stage", "StageOptions", "decode", "hash_page",
    "page_from_file", "pages_from_files", "parse", "process_batch", "verify",
]  # fmt: skip


class Pipeline:
    """decode → parse → hash → verify → your stages → record, in this process, one page at a time."""

    def __init__(
        self, stages: PipelineSpec | Sequence[object] | None = None, *, options: StageOptions | None = None
    ) -> None:
        """Build the stages: those of `stages`, else the built-in ones, then those that `options` names.

        A stage is a function, a `module:function`, or a class, which is constructed here without arguments. Raises
        StageError when one cannot be found or cannot work.
        """
        self.spec = spec = _spec(stages, options)
        options = spec.options
        rewrite = query_rules(options.drop_query_keys, options.sort_query)
        fingerprint = fingerprinter(spec.fingerprint_key)
        self.targets = Targets(fingerprint, spec.admit, rewrite)
        self._fingerprint = (lambda url: fingerprint(rewrite(url))) if rewrite else fingerprint
        wanted = [*(BUILT_IN if spec.stages is None else spec.stages), *options.stages]
        is_read = spec.claims is not None or any(stage not in BUILT_IN for stage in wanted)
        own: dict[object, Stage] = {
            decode: Decode(options),
            parse: Parse(options, self.targets, is_read=is_read),
            hash_page: Hash(options, is_read=is_read),
            verify: verify,
        }
        self.stages: list[Stage] = [own[stage] if stage in BUILT_IN else as_stage(stage) for stage in wanted]
        self.record = Record(options)
        self._store_body = options.store_body
        self.reported: list[Target] = []
        """Links handed out since the caller last emptied this list."""

    @classmethod
    def from_toml(cls, path: str | PathLike[str], *, options: StageOptions | None = None) -> Pipeline:
        """Build the pipeline of the stages that a TOML file lists, all of them and in order.

        Each is `[[stage]]` with `use = "package.module:function"` or the name of a built-in stage. Raises OSError, and
        StageError that names the file, the entry, what is wrong with it and what to do.
        """
        from pipelines.recipe import entry_of, stage_names  # a crawl has a config of its own, and its workers need none

        built_in = {name_of(stage): stage for stage in BUILT_IN}
        names = stage_names(path, built_in)
        try:
            return cls([built_in.get(name, name) for name in names], options=options)
        except StageError as error:
            raise StageError(f"{fspath(path)}: {entry_of(error, names)}: use: {error}") from error

    def process(self, page: Page) -> Processed:
        """Return what `page` became. Never raises an Exception: see the module's text."""
        try:
            return self._process(page)
        except Exception as error:  # noqa: BLE001 - the documented boundary: one bad page costs one page
            reason = "parse_memory" if isinstance(error, MemoryError) else "parse_error"
            return _failed(page, reason, f"{type(error).__name__}: {error}")

    def process_file(self, path: str | PathLike[str]) -> Processed:
        """Return what a file became; its URL is the file's. Raises OSError when it cannot be read."""
        return self.process(page_from_file(path))

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
            self._claims(doc),
        )
        self._reported(admitted)
        self._reported(refused)
        return result

    def _claims(self, doc: Document) -> bytes:
        found = self.spec.claims(doc) if self.spec.claims is not None else ()
        return orjson.dumps([(self._fingerprint(CanonicalUrl(url)), digest) for url, digest in found]) if found else b""

    def _reported(self, targets: list[Target]) -> None:
        if targets:
            self.targets.mark_reported(targets)
            self.reported += targets


def _telling(stages: Sequence[Stage], tell: Callable[[str], None]) -> list[Stage]:
    """Return stages between which `tell` is told which one comes next."""
    found: list[Stage] = []
    for stage in stages:
        found += [_teller(tell, label_of(stage)), stage]
    return [*found, _teller(tell, LAST_STEP)]


def _teller(tell: Callable[[str], None], name: str) -> Stage:
    return lambda _doc: tell(name)


def _spec(stages: PipelineSpec | Sequence[object] | None, options: StageOptions | None) -> PipelineSpec:
    if isinstance(stages, PipelineSpec):
        if options is not None:
            raise StageError("options: the spec has its own; use spec._replace(options=...)")
        return stages
    if isinstance(stages, str) or callable(stages):
        raise StageError(f"stages: expected a list of stages, got {stages!r}; write [*BUILT_IN, {name_of(stages)}]")
    return PipelineSpec(options or StageOptions(), stages=None if stages is None else tuple(stages))


def _document(changed: object, stage: Stage) -> Document:
    if not isinstance(changed, Document):
        raise TypeError(f"stage {name_of(stage)} returned a {type(changed).__name__}, expected a Document or None")
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


_idle: OrderedDict[bytes, list[Pipeline]] = OrderedDict()


def process_batch(spec: bytes, pages: Sequence[Page], tell: Callable[[str], None] | None = None) -> list[Processed]:
    """Process `pages` with the pipeline of `spec` (from `PipelineSpec.dumps`); runs in a worker process.

    The pipeline is built on first use (with no pages: `partial(process_batch, spec, [])` warms a worker up) and kept
    while it is one of the last four used. Threads have one each. `tell` is called with the name of each step before
    it begins. Raises StageError when it cannot be built.
    """
    if tell is not None:
        tell(FIRST_STEP)
    pipeline = _take(spec)
    pipeline.reported.clear()
    stages = pipeline.stages
    if tell is not None:
        pipeline.stages = _telling(stages, tell)
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
        pipeline.stages = stages
        _idle.setdefault(spec, []).append(pipeline)
        if collects:
            gc.enable()


def _take(spec: bytes) -> Pipeline:
    """Return a pipeline that nobody else uses: what it remembers is not made for two threads."""
    idle = _idle.setdefault(spec, [])
    try:
        _idle.move_to_end(spec)
    except KeyError:
        pass  # another thread has just made room
    if len(_idle) > MAX_PIPELINES:
        _idle.popitem(last=False)
    try:
        return idle.pop()
    except IndexError:
        return Pipeline(_loads(spec))


def _loads(spec: bytes) -> PipelineSpec:
    loaded = pickle.loads(spec)  # noqa: S301 - made by this program in this run, never read from disk or network
    assert isinstance(loaded, PipelineSpec)
    return loaded
