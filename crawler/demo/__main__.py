"""`python -m crawler.demo`: the same as `crawl demo`."""

import argparse
import sys

from crawler.demo.command import add_arguments, main


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="crawl demo", description="Serve a deterministic web site to try a crawler on."
    )
    add_arguments(parser)
    sys.exit(main(parser.parse_args(), _say))
