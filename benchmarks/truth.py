"""Crawl documentation that others wrote and hold every page to what lies on the disk: coverage, bytes, titles, links.

    python benchmarks/truth.py [FOLDER ...] [--start /index.html] [--delay 5ms] [--per-host 4] [--sample 60]

FOLDER is a folder of static HTML; without one, the documentation packages of Debian that are installed
(postgresql-doc-15, python3.11-doc, python-django-doc, python-scipy-doc). Needs `pip install html5lib` and nginx, whose
log also judges the politeness: never more than --per-host requests at once, never two sooner than --delay, none that
robots.txt forbids (every path that begins with /q is forbidden here).

What must be found is worked out from the files alone, by a walk over the links in the same order of rules a browser has
(`<base>`, the WHATWG URL standard). Titles and exact sets of links are compared on a sample with html5lib, which shares
no code with the crawl's parser. The exit code is 1 when anything differs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import html5lib
from ada_url import URL
from selectolax.lexbor import LexborHTMLParser

DOCS = [
    "/usr/share/doc/postgresql-doc-15/html", "/usr/share/doc/python3.11/html",
    "/usr/share/doc/python-django-doc/html", "/usr/share/doc/python-scipy-doc/html",
]  # fmt: skip
FORBIDDEN = "/q"
TICK = 0.005  # seconds: nginx logs the milliseconds of an end and a length, and a busy machine reads late
NGINX = """
daemon off; pid {home}/nginx.pid; error_log {home}/error.log; user root;
events {{ worker_connections 1024; }}
http {{ include /etc/nginx/mime.types; default_type application/octet-stream; keepalive_requests 1000000;
  log_format t '$msec $request_time $status $uri'; access_log {home}/log t;
  client_body_temp_path {home}/t; proxy_temp_path {home}/t; fastcgi_temp_path {home}/t; uwsgi_temp_path {home}/t;
  scgi_temp_path {home}/t;
  server {{ listen 127.0.0.1:{port}; absolute_redirect off; root {root}; index index.html;
    location = /robots.txt {{ return 200 "User-agent: *\\nDisallow: {forbidden}\\n"; }} }} }}
"""
CONFIG = """\
[job]
seeds = ["{origin}{start}"]
out = "{out}"
max_failed_ratio = 1.0
[fetch]
allow_addresses = ["127.0.0.0/8"]
[politeness]
delay = "{delay}"
per_host = {per_host}
[parse]
follow = "anchors"
"""
HTML = "{http://www.w3.org/1999/xhtml}"
LINKS = (HTML + "a", HTML + "area")


class Truth(NamedTuple):
    """One page, as it lies on the disk."""

    sha256: str
    links: int


class Asked(NamedTuple):
    """One line of the server's log."""

    began: float
    ended: float
    status: int
    path: str


def main() -> int:
    """Crawl and compare; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folders", nargs="*", type=Path, default=[Path(each) for each in DOCS if Path(each).is_dir()])
    parser.add_argument("--start", default="/index.html", help="the first page, below FOLDER")
    parser.add_argument("--delay", default="0s")
    parser.add_argument("--per-host", type=int, default=16)
    parser.add_argument("--sample", type=int, default=60)
    options = parser.parse_args()
    wrong = 0
    print("| site | pages | missing | too many | other bytes | other links | titles | exact links | impolite |")
    print("|---|" + "--:|" * 8)
    for folder in options.folders:
        with tempfile.TemporaryDirectory(prefix="truth-") as name, nginx(Path(name), folder.resolve()) as origin:
            wrong += compare(Path(name), folder.resolve(), origin, options)
    return bool(wrong)


@contextmanager
def nginx(home: Path, root: Path) -> Iterator[str]:
    """Serve a folder; yield its origin."""
    home.chmod(0o755)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (home / "nginx.conf").write_text(NGINX.format(home=home, port=port, root=root, forbidden=FORBIDDEN))
    server = subprocess.Popen(["nginx", "-c", str(home / "nginx.conf"), "-e", str(home / "error.log")])
    try:
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def compare(home: Path, root: Path, origin: str, options: argparse.Namespace) -> int:
    """Crawl one site, print its line, return how much was wrong."""
    out, start = home / "out", options.start
    config = CONFIG.format(origin=origin, start=start, out=out, delay=options.delay, per_host=options.per_host)
    (home / "crawl.toml").write_text(config)
    subprocess.run([sys.executable, "-m", "crawler", "-q", str(home / "crawl.toml")], check=True)
    asked = read_log(home / "log")
    truth = walk(root, origin, start)
    found = {}
    with (home / "out/pages.jsonl").open("rb") as lines:
        for record in map(json.loads, lines):
            if record["status"] == 200 and record["mime"] == "text/html":
                found.setdefault(unquote(urlsplit(record["url"]).path), record)
    both = sorted(truth.keys() & found.keys())
    bytes_differ = sum(found[path]["sha256"] != truth[path].sha256 for path in both)
    links_differ = sum(len(anchors(found[path])) != truth[path].links for path in both)
    sample = random.Random(5).sample(both, min(options.sample, len(both)))  # the same pages each time
    titles = exact = 0
    for path in sample:
        body = (root / path.lstrip("/")).read_bytes()
        title, links = as_html5lib_has_it(body, found[path]["url"])
        titles += title != found[path]["title"]
        exact += links != anchors(found[path])
    rude = impolite(asked, options)
    counts = (len(truth.keys() - found.keys()), len(found.keys() - truth.keys()), bytes_differ, links_differ)
    name = next(part for part in reversed(root.parts) if part != "html")
    tail = f"{titles} of {len(sample)} | {exact} of {len(sample)} | {rude} of {len(asked)}"
    print(f"| {name} | {len(truth):,} | {' | '.join(map(str, counts))} | {tail} |", flush=True)
    return sum(counts) + titles + exact + rude


def anchors(record: dict[str, Any]) -> set[str]:
    """Return where the links of a record lead."""
    return {link[0] for link in record["outlinks"] if link[1] in ("a", "area")}


def walk(root: Path, origin: str, start: str) -> dict[str, Truth]:
    """Return every page that can be reached from `start`, by its path."""
    found: dict[str, Truth] = {}
    seen, todo = {start}, [start]
    while todo:
        path = todo.pop()
        file = root / path.lstrip("/")
        if path.endswith("/"):
            file /= "index.html"
        elif file.is_dir():  # the server redirects
            if path + "/" not in seen:
                seen.add(path + "/")
                todo.append(path + "/")
            continue
        if file.suffix not in (".html", ".htm", ".shtml") or not file.is_file():
            continue
        body = file.read_bytes()
        tree = LexborHTMLParser(body)
        base = tree.css_first("base[href]")
        hrefs = [node.attributes["href"] or "" for node in tree.css("a[href], area[href]")]
        links = resolved(hrefs, origin + path, base.attributes["href"] if base is not None else None)
        found[path] = Truth(hashlib.sha256(body).hexdigest(), len(links))
        for link in links:
            target = unquote(urlsplit(link).path)
            is_ours = link.startswith(origin + "/") and not target.startswith(FORBIDDEN) and not urlsplit(link).query
            if is_ours and target not in seen:
                seen.add(target)
                todo.append(target)
    return found


def resolved(hrefs: list[str], page: str, base: str | None) -> set[str]:
    """Return the http(s) URLs that links lead to, without fragments and credentials."""
    root = page
    if base:
        try:
            root = URL(base, base=page).href
        except ValueError:
            pass  # as if it were not there
    found = set()
    for href in hrefs:
        try:
            url = URL(href, base=root)
        except ValueError:
            continue  # a link that leads nowhere
        if url.protocol in ("http:", "https:"):
            url.hash = url.username = url.password = ""
            found.add(url.href)
    return found


def as_html5lib_has_it(body: bytes, url: str) -> tuple[str | None, set[str]]:
    """Return the title and the links of a page, by another parser."""
    tree = html5lib.parse(body)
    first = next(iter(tree.iter(HTML + "title")), None)
    title = " ".join("".join(first.itertext()).split()) if first is not None else ""
    base = next((each.get("href") for each in tree.iter(HTML + "base") if each.get("href")), None)
    hrefs = [each.get("href") for each in tree.iter() if each.tag in LINKS and "href" in each.attrib]
    return title or None, resolved(hrefs, url, base)


def read_log(path: Path) -> list[Asked]:
    """Return what was asked of the server, in the order in which it began."""
    lines = (line.split(" ", 3) for line in path.read_text().splitlines())
    return sorted(Asked(float(end) - float(took), float(end), int(status), uri) for end, took, status, uri in lines)


def impolite(asked: list[Asked], options: argparse.Namespace) -> int:
    """Return how many requests came too soon, beside too many others, or against robots.txt."""
    unit = 1000 if options.delay.endswith("ms") else 1
    delay = float(options.delay.rstrip("ms")) / unit
    pages = [each for each in asked if each.path != "/robots.txt"]
    wrong = sum(each.path.startswith(FORBIDDEN) for each in pages)
    wrong += sum(later.began - one.began < delay - TICK for one, later in pairwise(pages))
    for at, one in enumerate(pages):
        beside = [each for each in pages[max(0, at - 200) : at] if each.ended > one.began + TICK]
        wrong += len(beside) >= options.per_host
    return wrong


if __name__ == "__main__":
    sys.exit(main())
