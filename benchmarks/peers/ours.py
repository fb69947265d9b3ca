"""crawlmill as a peer of the crawl bench: `crawl config.toml` with every guarantee on, defaults but for politeness."""

import json

CONFIG = """\
[job]
seeds = {starts}
out = {out}

[fetch]
concurrency = {concurrency}
allow_addresses = ["127.0.0.0/8"]

[politeness]
per_host = {concurrency}
delay = "0s"
"""


def command(job):
    """Return the command line of one run."""
    config = job.dir / "config.toml"
    text = CONFIG.format(
        starts=json.dumps(job.starts), out=json.dumps(str(job.dir / "out")), concurrency=job.concurrency
    )
    config.write_text(text)
    return [job.python("ours").removesuffix("python") + "crawl", str(config)]


def pages(job):
    """Yield the pages among the records, under the names of the bench."""
    with (job.dir / "out" / "pages.jsonl").open(encoding="utf-8") as file:
        for record in map(json.loads, file):
            if record["status"] == 200 and record["mime"] == "text/html":
                yield {
                    "url": record["final_url"],
                    "status": record["status"],
                    "title": record["title"],
                    "text": record["text"],
                    "links": [link[0] for link in record["outlinks"] if link[1] in ("a", "area")],
                    "sha256": record["sha256"],
                }
