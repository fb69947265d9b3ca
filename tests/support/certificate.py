"""The certificate that nobody trusts, as a file that a test may also choose to trust."""

from __future__ import annotations

import ssl
from pathlib import Path

from crawler.testing.certificate import PEM


def server_context(directory: Path) -> ssl.SSLContext:
    """Return a context that serves the certificate; its file is written into `directory`."""
    path = directory / "untrusted.pem"
    path.write_text(PEM)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context
