"""The command `crawl`: arguments, signals, exit codes. The only room that prints.

What a crawl needs is imported in the order in which it is needed: the configuration first, then the worker processes are
started, and while they load their libraries this process loads its own.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from crawler import __version__
from crawler.errors import ConfigError, CrawlError, ExitCode

if TYPE_CHECKING:
    from crawler.config import Config
    from crawler.engine.workers import Workers

_COMMANDS = ("check", "demo", "schema")

_EPILOG = """\
commands:
  crawl CONFIG            crawl, or resume what was interrupted
  crawl check CONFIG      say whether the configuration can be used, without running it
  crawl demo              serve the demo site on loopback
  crawl schema            print the JSON Schema of the configuration, for editors

exit codes:
  0 complete   1 internal error   2 usage or config   3 finished, but too many pages failed
  4 stopped by a limit, work left   5 another run holds the lock   6 disk or state trouble
  130 interrupted, 143 terminated: run the same command again to go on
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if arguments and arguments[0] in _COMMANDS:
            return _COMMAND_OF[arguments[0]](arguments[1:])
        return _crawl(arguments)
    except CrawlError as exc:
        _complain(exc)
        return exc.exit_code
    except BrokenPipeError:  # `crawl ... | head`: whoever read us has gone; nothing more can be said to them
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.INTERNAL


def _complain(error: CrawlError) -> None:
    from crawler.progress.text import printable

    if isinstance(error, ConfigError):
        for problem in error.problems:
            print(printable(str(problem)), file=sys.stderr)
        return
    print(f"crawl: {printable(str(error))}", file=sys.stderr)


# -- crawl CONFIG


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="crawl",
        usage="crawl [options] CONFIG",
        description="Crawl what CONFIG describes, or resume it where it was interrupted.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("config", metavar="CONFIG", type=Path, help="TOML file; sample_config.toml shows every key")
    _add_overrides(parser)
    parser.add_argument("--max-pages", type=int, metavar="N", help="stop after this many records (job.max_pages)")
    parser.add_argument("--max-time", metavar="TIME", help='stop after this time, such as "10m" (job.max_time)')
    parser.add_argument("--out", metavar="DIR", help="where results and state go (job.out)")
    parser.add_argument("--accept-changes", action="store_true", help="resume although seeds or scope were changed")
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing but errors")
    parser.add_argument("--plain", action="store_true", help="plain progress lines even on a terminal")
    parser.add_argument("--version", action="version", version=f"crawlmill {__version__}")
    return parser


def _add_overrides(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help='override a key of CONFIG, such as fetch.concurrency=128 or politeness.delay="1s"; may be repeated',
    )


def _crawl(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    overrides = list(options.overrides)
    if options.max_pages is not None:
        overrides.append(f"job.max_pages={options.max_pages}")
    if options.max_time is not None:
        overrides.append(f'job.max_time="{options.max_time}"')
    if options.out is not None:
        overrides.append(f"job.out={_toml_string(str(Path(options.out).absolute()))}")
    config = _load(options.config, overrides)

    from crawler.engine.workers import Workers

    workers = Workers(config.cpu)
    workers.start()
    try:
        return _run(config, workers, options)
    finally:
        workers.kill()


def _run(config: Config, workers: Workers, options: argparse.Namespace) -> int:
    import asyncio

    from crawler.engine.crawl import Crawl
    from crawler.progress.view import show

    async def crawl() -> int:
        loop = asyncio.get_running_loop()
        async with Crawl(config, workers=workers, accept_changes=options.accept_changes) as running:
            for number, code in ((signal.SIGINT, ExitCode.INTERRUPTED), (signal.SIGTERM, ExitCode.TERMINATED)):
                loop.add_signal_handler(number, running.stop, code)
            async with show(running, quiet=options.quiet, plain=options.plain, write=_say):
                summary = await running.run()
            return summary.exit_code

    with asyncio.Runner(loop_factory=_loop_factory(config)) as runner:
        return runner.run(crawl())


def _loop_factory(config: Config):  # type: ignore[no-untyped-def]  # a factory of whatever loop there is
    if config.fetch.uvloop:
        try:
            import uvloop
        except ImportError:  # not on this platform: asyncio's own loop does the same, slower
            return None
        return uvloop.new_event_loop
    return None


def _load(path: Path, overrides: Sequence[str]) -> Config:
    from crawler.config import load

    config = load(path, overrides)
    for warning in config.warnings:
        print(f"crawl: warning: {warning}", file=sys.stderr)
    return config


def _toml_string(text: str) -> str:
    import json

    return json.dumps(text)


def _say(text: str) -> None:
    print(text, flush=True)


# -- the sisters


def _check(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="crawl check", description="Say whether a configuration can be used.")
    parser.add_argument("config", metavar="CONFIG", type=Path)
    _add_overrides(parser)
    options = parser.parse_args(arguments)
    config = _load(options.config, options.overrides)
    from crawler.engine.assemble import check

    check(config)
    print(f"{options.config}: fine; {len(config.job.seeds)} seeds, output in {config.job.out}")
    return ExitCode.COMPLETE


def _demo(arguments: list[str]) -> int:
    from crawler.demo import command

    parser = argparse.ArgumentParser(prog="crawl demo", description="Serve a deterministic web in a box on loopback.")
    command.add_arguments(parser)
    return command.main(parser.parse_args(arguments), _say)


def _schema(arguments: list[str]) -> int:
    import json

    from crawler.config import json_schema

    argparse.ArgumentParser(prog="crawl schema", description="Print the JSON Schema of the configuration.").parse_args(
        arguments
    )
    print(json.dumps(json_schema(), indent=2))
    return ExitCode.COMPLETE


_COMMAND_OF = {"check": _check, "demo": _demo, "schema": _schema}
