"""What users hold their own downloads and stages against: a server that misbehaves on command, and an oracle."""

from crawler.testing.bodies import Body, damage, digest
from crawler.testing.faultserver import FaultServer, Origin
from crawler.testing.files import ServedFile, serve, version
from crawler.testing.messages import End, Exchange, Framing, Reply, Request, page, redirect, text
from crawler.testing.oracle import Verdict, judge, strays

__all__ = [
    "Body",
    "End",
    "Exchange",
    "FaultServer",
    "Framing",
    "Origin",
    "Reply",
    "Request",
    "ServedFile",
    "Verdict",
    "damage",
    "digest",
    "judge",
    "page",
    "redirect",
    "serve",
    "strays",
    "text",
    "version",
]
