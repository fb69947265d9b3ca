"""The kinds of values that name something on the web: seeds, hosts, domains, origins, addresses, proxies, headers."""

import ipaddress
import re
from typing import Annotated, Any, Final

from ada_url import URL

from crawler.config.kinds import SECRET_SCHEMA, read_text
from crawler.config.parsed import Parsed, Source, refuse
from crawler.config.secret import SecretStr
from pipelines.stages.options import RECORD_FIELDS
from pipelines.url import CanonicalUrl, canonicalize, host_of, origin_of

_OWN_HEADERS: Final = {
    "host", "connection", "content-length", "transfer-encoding", "te", "trailer", "upgrade", "expect", "keep-alive",
}  # fmt: skip
"""Framing and routing are the client's: a wrong one makes a request that two servers read in two ways (RFC 9112 11)."""


def is_secret_name(name: str) -> bool:
    """Tell whether a header of this name usually carries a credential."""
    words = r"auth|cookie|token|secret|passw|credential|session|api-?key|access-?key|signature"
    return re.search(words, name.lower().replace("_", "-")) is not None


def is_token(text: str) -> bool:
    """Tell whether `text` can be the name of a header or a cookie."""
    return re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", text) is not None  # RFC 9110 5.6.2


def _parse_url(raw: Any, example: str, *, show: bool = True) -> URL:
    if not isinstance(raw, str):
        raise refuse(f'expected a URL in quotes ("{example}")', show=show)
    show = show and "@" not in raw
    try:
        url = URL(raw)
    except ValueError:
        raise refuse("expected an http or https URL", _with_scheme(raw) if show else "", show=show) from None
    if url.protocol not in ("http:", "https:"):
        if url.protocol == "file:":
            hint = "serve the folder with a web server (python -m http.server)"
        else:  # example.org:8080 reads as the scheme "example.org"
            hint = _with_scheme(raw)
        raise refuse("expected an http or https URL", hint, show=show)
    return url


def _with_scheme(raw: str) -> str:
    return f'did you mean "https://{raw}"?' if "://" not in raw and canonicalize(f"https://{raw}") else ""


def read_seed(raw: Any, source: Source) -> CanonicalUrl:
    """Return the canonical URL of a seed."""
    if isinstance(raw, str) and "@" not in raw and (canonical := canonicalize(raw)) is not None:
        return canonical
    url = _parse_url(raw, "https://example.org/")
    if url.username or url.password:
        raise refuse("expected a URL without user and password", "give them as basic_auth of an [[origin]]", show=False)
    canonical = canonicalize(raw)
    if canonical is None:
        raise refuse("expected an http or https URL")
    return canonical


def _read_host(raw: Any, source: Source) -> str:
    rule = 'expected a host name ("example.org"), without scheme, port and path'
    text = read_text(raw, source).strip()
    if text == "*":
        return text
    if text.startswith("*."):
        raise refuse(rule, f'list "{text[2:]}" in scope.domains, which includes every host below it')
    if ":" in text and not text.startswith("[") and _is_address(text):
        text = f"[{text}]"
    url = canonicalize(f"http://{text}/")
    if url is None or origin_of(url) != f"http://{host_of(url)}" or any(char in text for char in "/?#@\\") or not text:
        found = canonicalize(text) or canonicalize(f"http://{text}")
        raise refuse(rule, f'write "{host_of(found)}"' if found and host_of(found) else "")
    if re.search(r":\d*$", text) and not text.endswith("]"):  # :80 is the default port and gone from the canonical URL
        raise refuse(rule, f'write "{host_of(url)}"')
    return host_of(url)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return False
    return True


def _read_domain(raw: Any, source: Source) -> str:
    host = _read_host(raw, source)
    if host == "*" or _is_address(host):
        raise refuse('expected a domain ("example.org")', f'list "{host}" in scope.hosts')
    from publicsuffixlist import PublicSuffixList  # 10 ms and 4 MB that only a config with domains pays

    if PublicSuffixList().privatesuffix(host) is None:  # None for a suffix, also an unlisted one: "localhost"
        raise refuse(
            'expected a domain that can be registered ("example.org"): everybody shares a public suffix',
            f'list single hosts in scope.hosts; is "{host}" what you meant?' if "." not in host else "",
        )
    return host


def _read_origin(raw: Any, source: Source) -> str:
    url = _parse_url(raw, "https://example.org")
    if url.username or url.password:
        raise refuse("expected a URL without user and password", "use basic_auth", show=False)
    if url.pathname not in ("", "/") or url.search or url.hash:
        raise refuse("expected an origin: scheme, host and port, without a path", f'write "{url.origin}"')
    return str(url.origin)


def _read_proxy(raw: Any, source: Source) -> SecretStr:
    url = _parse_url(
        raw.get_secret_value() if isinstance(raw, SecretStr) else raw, "http://proxy.example.org:3128", show=False
    )
    if url.pathname not in ("", "/") or url.search or url.hash:
        raise refuse("expected scheme, host and port of a proxy, without a path", show=False)
    return SecretStr(url.href)


def _show_proxy(proxy: SecretStr) -> str:
    scheme, _, rest = proxy.get_secret_value().partition("://")
    return f"{scheme}://***@{rest.rpartition('@')[2]}" if "@" in rest else f"{scheme}://{rest}"


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _read_network(raw: Any, source: Source) -> Network:
    if isinstance(raw, Network):
        return raw
    try:
        if isinstance(raw, str):
            return ipaddress.ip_network(raw)
    except ValueError as exc:
        if "host bits" in str(exc):
            remedy = f'write "{ipaddress.ip_network(raw, strict=False)}"'
            raise refuse("expected an address range whose host bits are zero", remedy) from None
    raise refuse('expected an address range in quotes ("127.0.0.0/8", "fd00::/8")')


def _read_header_name(raw: Any, source: Source) -> str:
    if not isinstance(raw, str) or not is_token(raw):
        raise refuse("expected a header name: letters, digits and hyphens")
    if raw.lower() in _OWN_HEADERS:
        raise refuse("expected a header that the HTTP client does not set itself")
    return raw


def _read_recorded_header(raw: Any, source: Source) -> str:
    if not isinstance(raw, str) or not is_token(raw):
        raise refuse('expected a header name ("last-modified")')
    return raw.lower()


def _read_recorded_field(raw: Any, source: Source) -> str:
    if isinstance(raw, str) and raw in RECORD_FIELDS:
        return raw
    from difflib import get_close_matches  # 2 ms, for who made a mistake

    near = get_close_matches(raw, RECORD_FIELDS, 1) if isinstance(raw, str) else []
    remedy = f'did you mean "{near[0]}"?' if near else "docs/records.md lists them"
    raise refuse("expected a key of the record", remedy)


def _read_stage(raw: Any, source: Source) -> str:
    if not isinstance(raw, str) or not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*", raw):
        raise refuse('expected "package.module:function"')
    return raw


Seed = Annotated[CanonicalUrl, Parsed(read_seed, "URL", {"type": "string", "format": "uri"})]
Host = Annotated[str, Parsed(_read_host, "host", {"type": "string", "examples": ["example.org"]})]
Domain = Annotated[str, Parsed(_read_domain, "domain", {"type": "string", "examples": ["example.org"]})]
OriginUrl = Annotated[str, Parsed(_read_origin, "origin", {"type": "string", "examples": ["https://example.org"]})]
Proxy = Annotated[
    SecretStr,
    Parsed(_read_proxy, "proxy URL", SECRET_SCHEMA, _show_proxy),
]
Cidr = Annotated[Network, Parsed(_read_network, "address range", {"type": "string", "examples": ["127.0.0.0/8"]})]
HeaderName = Annotated[str, Parsed(_read_header_name, "header name", {"type": "string"})]
RecordedHeader = Annotated[str, Parsed(_read_recorded_header, "header name", {"type": "string"})]
RecordedField = Annotated[str, Parsed(_read_recorded_field, "key of the record", {"enum": list(RECORD_FIELDS)})]
StageName = Annotated[str, Parsed(_read_stage, "module:function", {"type": "string", "pattern": r"^[\w.]+:[\w.]+$"})]
