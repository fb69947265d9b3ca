"""The one place where what aiohttp and the operating system raise becomes an outcome.

Nothing of an exception's own text is repeated that could hold a resolved address, a secret or bytes of the server: the
details are made from the kind of trouble and the system's words for it.
"""

from __future__ import annotations

import os
import ssl

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from crawler.fetch.guard import HeadTooLong
from crawler.fetch.outcome import Failed, Refused
from crawler.fetch.resolver import AddressBlocked
from crawler.frontier.reasons import Reason

NETWORK_ERRORS = (aiohttp.ClientError, HttpProcessingError, OSError, UnicodeError)
"""All that an exchange may raise because of the network or the server; TimeoutError is an OSError."""

MAX_DETAIL = 300


def outcome_of(error: Exception) -> Failed | Refused:
    """Return what `error`, one of NETWORK_ERRORS, means for the URL."""
    cause = getattr(error, "os_error", None) or error.__cause__
    match error:
        case aiohttp.InvalidURL() | UnicodeError():
            return Refused(Reason.INVALID_URL, "refused by the HTTP client")
        case aiohttp.ClientConnectorDNSError():
            if isinstance(cause, AddressBlocked):
                return Refused(Reason.ADDRESS_BLOCKED, cause.args[0])
            return _failed(Reason.DNS, _words(cause))
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientSSLError() | aiohttp.ServerFingerprintMismatch():
            return _failed(Reason.TLS, _tls_words(error, cause))
        case aiohttp.ClientHttpProxyError():
            reason = Reason.AUTH if error.status == 407 else Reason.CONNECT
            return _failed(reason, f"the proxy answered {error.status}")
        case aiohttp.ClientProxyConnectionError():
            return _failed(Reason.CONNECT, f"proxy: {_words(cause)}")
        case aiohttp.ConnectionTimeoutError():
            return _failed(Reason.CONNECT_TIMEOUT, "no connection in time")
        case aiohttp.ClientConnectorError():
            return _failed(Reason.CONNECT, _words(cause))
        case aiohttp.ClientResponseError() | HttpProcessingError():
            return _protocol(error)
        case aiohttp.ServerDisconnectedError():
            return _failed(Reason.DISCONNECTED, "the connection ended before the response")
        case aiohttp.ClientPayloadError():
            return _failed(Reason.DISCONNECTED, "the connection ended inside the response")
        case TimeoutError():
            return _failed(Reason.READ_TIMEOUT, "timed out")
        case _:
            return _failed(Reason.DISCONNECTED, _words(error))


def _protocol(error: aiohttp.ClientResponseError | HttpProcessingError) -> Failed:
    chain = (error, error.__cause__, error.__cause__ and error.__cause__.__cause__)
    if any(isinstance(link, LineTooLong | HeadTooLong) for link in chain) or "Too many headers" in error.message:
        return _failed(Reason.HEADERS_TOO_LARGE, "the head of the response is too long")
    words = error.message.strip().partition("\n")[0].partition(" b'")[0].partition(" '")[0].rstrip(":")
    return _failed(Reason.PROTOCOL, words or "no valid HTTP/1.1 response")


def _tls_words(error: Exception, cause: object) -> str:
    for found in (cause, error, getattr(error, "certificate_error", None)):
        if isinstance(found, ssl.SSLCertVerificationError) and found.verify_message:
            return found.verify_message
        if isinstance(found, ssl.SSLError) and found.reason:
            return found.reason.replace("_", " ").lower()
    return "handshake failed"


def _words(error: object) -> str:
    """Return the system's words for an error number; never the exception's text, which names addresses."""
    if isinstance(error, ConnectionError | TimeoutError) and error.errno is None:
        return type(error).__name__
    if isinstance(error, OSError) and isinstance(error.errno, int) and error.errno > 0:
        return os.strerror(error.errno).lower()
    if isinstance(error, OSError) and error.errno is None and len(error.args) == 1 and type(error) is not OSError:
        return str(error.args[0])
    return "connection failed"


def _failed(reason: Reason, detail: str) -> Failed:
    return Failed(reason, detail[:MAX_DETAIL])
