"""What each stage of the pipeline costs per page, on a folder of HTML files, beside the least it could cost.

    python benchmarks/stages.py FOLDER [FOLDER ...] [--pages 1000] [--outlinks pages] [--field title ...] [--profile]

CPU time of one process, best of three passes over all pages, so that the caches are as warm as in a long crawl. The
floor is what no pipeline can avoid: SHA-256, lexbor's parse, and the body's text with white space collapsed.
"""

from __future__ import annotations

import argparse
import cProfile
import hashlib
import pstats
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from selectolax.lexbor import LexborHTMLParser

from pipelines.page import Document, Page
from pipelines.pipeline import Pipeline, PipelineSpec, StageOptions, process_batch
from pipelines.url import CanonicalUrl, host_of

PASSES = 3
BATCH = 16


def admit_host(url: CanonicalUrl) -> tuple[str, int] | str:
    """Admit one host, as most crawls do."""
    host = host_of(url)
    return (host, 0) if host == "site.invalid" else "host"


def read_pages(folder: Path, limit: int) -> list[Page]:
    """Return the HTML files below `folder` as a server with plain headers would send them."""
    files = sorted(folder.rglob("*.html"))[:: max(1, len(list(folder.rglob("*.html"))) // limit)][:limit]
    pages = []
    for number, file in enumerate(files):
        body = file.read_bytes()
        headers = (("content-type", "text/html"), ("content-length", str(len(body))))
        url = f"http://site.invalid/{file.relative_to(folder)}"
        pages.append(Page(number, url, 200, headers, body, "2027-01-01T00:00:00Z"))
    return pages


def floor(pages: list[Page]) -> None:
    """Hash, parse and take the text, and nothing else."""
    for page in pages:
        hashlib.sha256(page.body).hexdigest()
        tree = LexborHTMLParser(page.body)
        if tree.body is not None:
            " ".join(tree.body.text(separator=" ").split())


def microseconds(run: Callable[[], object], pages: int) -> float:
    """Return CPU microseconds per page, the best of three passes."""
    best = float("inf")
    for _ in range(PASSES):
        start = time.process_time()
        run()
        best = min(best, time.process_time() - start)
    return best / pages * 1e6


def by_stage(pipeline: Pipeline, pages: list[Page]) -> Iterator[tuple[str, float]]:
    """Run stage after stage over all pages, and yield the name and the best time of each."""
    best: dict[str, float] = {}
    for _ in range(PASSES):
        spent: dict[str, float] = {}
        clock = time.process_time
        for page in pages:
            start = clock()
            doc = Document(page)
            for stage in pipeline.stages:
                stage(doc)
                end = clock()
                name = getattr(stage, "__name__", type(stage).__name__.lower())
                spent[name] = spent.get(name, 0.0) + end - start
                start = end
            pipeline.record.line(doc)
            spent["record"] = spent.get("record", 0.0) + clock() - start
        best = {name: min(value, best.get(name, value)) for name, value in spent.items()}
    for name, value in best.items():
        yield name, value / len(pages) * 1e6


def report(folder: Path, limit: int, options: StageOptions, profile: bool) -> None:
    """Print the table of one folder."""
    pages = read_pages(folder, limit)
    spec = PipelineSpec(options, admit_host)
    print(f"\n{folder.name}: {len(pages)} pages, {sum(len(p.body) for p in pages) / len(pages) / 1000:.1f} kB a page\n")
    least = microseconds(lambda: floor(pages), len(pages))
    wire = spec.dumps()
    batches = [pages[start : start + BATCH] for start in range(0, len(pages), BATCH)]
    whole = microseconds(lambda: [process_batch(wire, batch) and None for batch in batches], len(pages))
    print(f"| stage | µs/page |\n|---|--:|\n| floor | {least:.0f} |\n| process, all stages | {whole:.0f} |")
    print(f"| process / floor | {whole / least:.2f} |")
    for name, value in by_stage(Pipeline(spec), pages):
        print(f"| {name} | {value:.0f} |")
    if profile:
        profiler = cProfile.Profile()
        profiler.runcall(lambda: [process_batch(wire, batch) and None for batch in batches])
        pstats.Stats(profiler).sort_stats("tottime").print_stats(25)


def main() -> None:
    """Read the command line and report on each folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--pages", type=int, default=1000)
    parser.add_argument("--outlinks", choices=["none", "anchors", "pages", "all"], default="pages")
    parser.add_argument("--field", action="append", default=[], help="a key of the record to write; all without it")
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    options = StageOptions(outlinks=arguments.outlinks, follow=arguments.outlinks, fields=tuple(arguments.field))
    for folder in arguments.folders:
        report(folder, arguments.pages, options, arguments.profile)


if __name__ == "__main__":
    main()
