"""crawlmill with the fields that its peers write, and no others: the same job as theirs, every guarantee on."""

import runpy
from pathlib import Path

_OURS = runpy.run_path(str(Path(__file__).with_name("ours.py")))

OUTPUT = """
[output]
fields = ["final_url", "mime", "title", "text", "outlinks", "sha256"]
"""

pages = _OURS["pages"]


def command(job):
    """Return the command line of one run."""
    argv = _OURS["command"](job)
    with Path(argv[-1]).open("a", encoding="utf-8") as config:
        config.write(OUTPUT)
    return argv
