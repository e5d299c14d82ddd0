"""Where a redirect leads: URI references (RFC 3986), and what an https URL says to connect to."""

import re
from typing import Self

from attrs import frozen

from matrix_resolve.core.names import IPAddress, is_hostname, parse_ip_literal

HTTPS_PORT = 443

# RFC 3986, appendix B: scheme, authority, path, query; the fragment is for readers.
_REFERENCE = re.compile(
    r"(?:([A-Za-z][A-Za-z0-9+.-]*):)?(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#.*)?", re.DOTALL
)
_AUTHORITY = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::(0*[0-9]{0,5}))?")


def resolved(base: str, reference: str) -> str:
    """Return the URL that `reference` means at the URL `base`, without fragment (RFC 3986, 5.2).

    Dot segments go; empty segments and an empty query stay. Escapes are left as they are.
    """
    scheme, authority, path, query = _parts(reference)
    if scheme is None:
        scheme, base_authority, base_path, base_query = _parts(base)
        if authority is None:
            authority = base_authority
            if not path:
                path, query = base_path, base_query if query is None else query
            elif not path.startswith("/"):
                path = f"{base_path.rpartition('/')[0]}/{path}"
    return "".join(
        (
            f"{scheme}:",
            "" if authority is None else f"//{authority}",
            _without_dot_segments(path),
            "" if query is None else f"?{query}",
        )
    )


def _parts(reference: str) -> tuple[str | None, str | None, str, str | None]:
    found = _REFERENCE.fullmatch(reference)
    assert found is not None  # it takes any text apart
    return found[1], found[2], found[3], found[4]


def _without_dot_segments(path: str) -> str:
    """Return `path` without its segments "." and "..", the latter with what they undo (5.2.4)."""
    segments = path.split("/")
    kept: list[str] = []
    for segment in segments:
        if segment == ".." and len(kept) > 1:
            kept.pop()
        elif segment not in (".", ".."):
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/".join(kept)


@frozen(kw_only=True)
class HttpsUrl:
    """An https URL, and what it says to connect to and to send.

    `host` is what to look up, to demand a certificate for and to send as SNI: in lower case,
    without the final dot (RFC 6066, 3), an IP literal in its canonical spelling without brackets;
    `ip_address` is that literal. `host_header` is the authority as it stands there, a final dot
    too (RFC 9110, 7.2), but not the default port. `target` is the path and query to send.

    The host is a URI's, so underscores and a final dot are fine, and so is an empty port, while
    userinfo and escapes are not, nor IP addresses in any other spelling than the usual.
    """

    host: str
    port: int
    ip_address: IPAddress | None
    authority: str
    target: str

    @property
    def host_header(self) -> str:
        """What to send as `Host`."""
        return self.authority.removesuffix(f":{HTTPS_PORT}")

    def __str__(self) -> str:
        return f"https://{self.authority}{self.target}"

    @classmethod
    def parse(cls, url: str) -> Self:
        """Parse an absolute URL; a fragment is left out. Raises `ValueError`."""
        scheme, authority, path, query = _parts(url)
        if scheme is None or scheme.lower() != "https" or authority is None:
            raise ValueError("not an https URL")
        parts = _AUTHORITY.fullmatch(authority.lower())
        if parts is None:
            raise ValueError("userinfo, or no host and port")
        spelled, digits = parts.groups()
        port = int(digits) if digits else HTTPS_PORT
        if not 1 <= port <= 65535:
            raise ValueError("no port to connect to")
        bracketed = spelled.startswith("[")
        host = spelled[1:-1] if bracketed else spelled
        ip = parse_ip_literal(host)
        if bracketed != (ip is not None and ip.version == 6):
            raise ValueError("brackets belong around an IPv6 address only")
        if ip is None:
            host = host.removesuffix(".")
            # A name of the DNS, though not of a host.
            if not is_hostname(host.replace("_", "-")):
                raise ValueError("no host name")
        return cls(
            host=host if ip is None else str(ip),
            port=port,
            ip_address=ip,
            authority=f"{spelled}:{port}" if digits else spelled,
            target=(path or "/") + ("" if query is None else f"?{query}"),
        )
