"""The crawl's output files keep every rule of `pipelines.testing.check_sink`, as a user's sink has to."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import zstandard

from crawler.store.outputs import PAGES, Outputs
from pipelines.testing import Sink, check_sink

GROUP_BYTES = 1 << 20
"""What the store lets gather before it commits (`Store`: much output is committed before its time)."""


class StoreSink:
    """`pages.jsonl` as the store writes it: in groups, whose lengths are committed and survive the close."""

    def __init__(self, folder: Path, *, zstd: bool) -> None:
        self._folder, self._zstd = folder, zstd
        self._committed: dict[str, tuple[int, int]] = {}
        self._outputs: Outputs | None = None

    def open(self) -> None:
        self._outputs = Outputs(self._folder, self._committed, zstd=self._zstd, sync=False)

    def write(self, line: bytes) -> None:
        if self._outputs is None:
            raise ValueError("closed")
        self._outputs.add(PAGES, line + b"\n")
        if self._outputs.pending_bytes >= GROUP_BYTES:
            self._committed |= self._outputs.write()

    def close(self) -> None:
        if self._outputs is not None:
            self._committed |= self._outputs.write()
            self._outputs.close()
            self._outputs = None

    def read(self) -> list[bytes]:
        path = self._folder / ("pages.jsonl.zst" if self._zstd else "pages.jsonl")
        if not path.exists():
            return []
        data = path.read_bytes()
        if self._zstd:
            with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data), read_across_frames=True) as reader:
                data = reader.read()
        return data.split(b"\n")[:-1]


@pytest.mark.parametrize("zstd", [False, True])
def test_the_outputs_of_a_crawl_are_a_good_sink(tmp_path: Path, zstd: bool) -> None:
    sink = StoreSink(tmp_path, zstd=zstd)
    assert isinstance(sink, Sink)
    check_sink(sink, sink.read)
    check_sink(sink, sink.read)  # later records come after earlier ones
