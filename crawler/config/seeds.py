"""The seeds file: one URL a line, read when the config is."""

from pathlib import Path

from crawler.config.parsed import Refused, Source
from crawler.config.web import read_seed
from crawler.errors import Problem
from pipelines.url import CanonicalUrl

MAX_BYTES = 256 * 1024**2
MAX_PROBLEMS = 20
"""A file of something else has as many bad lines as it has lines; twenty tell the story."""


def read_seeds(path: Path, source: Source) -> tuple[list[CanonicalUrl], list[Problem]]:
    """Return the canonical URLs of a file and what is wrong with it, each problem with its line."""
    name = str(path)
    try:
        if not path.is_file():
            what = "a folder" if path.is_dir() else "not a regular file" if path.exists() else "no such file"
            return [], [Problem("job.seeds_file", f"expected a file of URLs, found {what}", source=name)]
        if path.stat().st_size > MAX_BYTES:
            return [], [
                Problem("job.seeds_file", "expected at most 256 MiB of URLs", source=name, remedy="split the crawl")
            ]
        lines = path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    except OSError as exc:
        return [], [Problem("job.seeds_file", f"cannot be read: {exc.strerror}", source=name)]
    return _parse(lines, name, source)


def _parse(lines: list[bytes], name: str, source: Source) -> tuple[list[CanonicalUrl], list[Problem]]:
    seeds: list[CanonicalUrl] = []
    problems: list[Problem] = []
    bad = 0
    for number, raw in enumerate(lines, start=1):
        line = raw.strip()
        if not line or line.startswith(b"#"):
            continue
        try:
            seeds.append(read_seed(line.decode(), source))
            continue
        except UnicodeDecodeError:
            problem = Problem("", "expected UTF-8", source=name, line=number)
        except Refused as exc:
            value = _shown(line.decode()) if exc.show else None
            problem = Problem("", exc.rule, value, exc.remedy, name, number)
        bad += 1
        if bad <= MAX_PROBLEMS:
            problems.append(problem)
    if bad > MAX_PROBLEMS:
        problems.append(Problem("", f"{bad - MAX_PROBLEMS} more lines that are no URL", source=name))
    return seeds, problems


def _shown(line: str) -> str:
    from crawler.config.problems import show_value

    return show_value(line)
