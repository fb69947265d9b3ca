"""One TLS context of our own, made when the first https URL is asked for.

aiohttp makes two when it is imported, and each reads every certificate of the system: a seventh of the start of a short
crawl, and spent for nothing when no URL is https. Requests here bring their own context, so aiohttp's are never used,
and a program that is alone in its process may keep them empty.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

_PLACES = (
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
)  # where OpenSSL looks before its own default (SSL_CTX_load_verify_locations)


def client_context(*, verify: bool) -> ssl.SSLContext:
    """Return a context for HTTP/1.1: checks the certificate and its host name; with `verify` off, neither."""
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(("http/1.1",))
    return context


@contextmanager
def no_certificates() -> Iterator[None]:
    """Let whoever makes a TLS context in this block find no certificates: for the import of aiohttp in a command.

    Changes the environment of the process for the time of the block; not for a library in somebody else's process.
    """
    kept = {name: os.environ.get(name) for name in _PLACES}
    os.environ.update(dict.fromkeys(_PLACES, os.devnull))
    try:
        yield
    finally:
        for name, value in kept.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
