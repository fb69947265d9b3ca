"""A self-signed certificate for `localhost`, 127.0.0.1 and no other name, that nobody trusts; valid until 2126."""

from __future__ import annotations

import ssl
import tempfile

PEM = """\
-----BEGIN CERTIFICATE-----
MIIBoTCCAUegAwIBAgIUc3Q2QhlGcUMPKJaAKNjElfP1eCswCgYIKoZIzj0EAwIw
FzEVMBMGA1UEAwwMZmF1bHQgc2VydmVyMCAXDTI2MTEyMTAzMTkwNloYDzIxMjYx
MDI4MDMxOTA2WjAXMRUwEwYDVQQDDAxmYXVsdCBzZXJ2ZXIwWTATBgcqhkjOPQIB
BggqhkjOPQMBBwNCAAR0gjQYQD+1KNlI2ZzjNygAJv4xSXKYQteHScChAlGsr/qY
0qkeZ6ZE7VjUU1pJzveytOL1h0cVbYx9+2rr5obpo28wbTAdBgNVHQ4EFgQUDuha
+exWINVD5egRw+PALgpxd6IwHwYDVR0jBBgwFoAUDuha+exWINVD5egRw+PALgpx
d6IwDwYDVR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEw
CgYIKoZIzj0EAwIDSAAwRQIgDC195nXwcvxLyfxZ7DYGoOxTxAa+2B8XZSw+EhOZ
Jw0CIQDJe4ztakN5OjpOHdScEL9HYRlB2oluTTHqPfMxZO2/1w==
-----END CERTIFICATE-----
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg02bDR/pCmscUrgrv
UhWtQNT0ZvKhsWSBG4rJmXu28h2hRANCAAR0gjQYQD+1KNlI2ZzjNygAJv4xSXKY
QteHScChAlGsr/qY0qkeZ6ZE7VjUU1pJzveytOL1h0cVbYx9+2rr5obp
-----END PRIVATE KEY-----
"""


def server_context() -> ssl.SSLContext:
    """Return a context for a server that shows the certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:  # the ssl module reads keys from files only
        file.write(PEM)
        file.flush()
        context.load_cert_chain(file.name)
    return context
