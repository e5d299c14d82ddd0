"""What a server publishes and where: the plan that snippets put into words."""

from typing import Final

from attrs import frozen

from matrix_resolve.core.names import ServerName, parse_ip_literal
from matrix_resolve.serving.arguments import HTTPS_PORT, checked_url, parsed_name, refused
from matrix_resolve.serving.documents import (
    SERVER_PATH,
    WellKnownDocument,
    client_well_known_document,
    well_known_document,
)

DEFAULT_PORT: Final = 8448
"""Where peers connect to when nothing says another port."""
_HTTP_PORT: Final = 80


@frozen(kw_only=True)
class Homeserver:
    """Where the homeserver itself listens, behind the web server. Make one with `parse`."""

    is_https: bool
    host: str
    port: int

    @classmethod
    def parse(cls, url: str) -> "Homeserver":
        """Parse an http or https URL of nothing but host and port; `ValueError` for another."""
        parts = checked_url(url, "homeserver")
        if parts.path not in ("", "/") or "?" in url or "#" in url:
            raise refused(url, "homeserver", "has more than a host and a port")
        name = ServerName.parse(parts.netloc)
        is_https = parts.scheme == "https"
        port = name.port or (HTTPS_PORT if is_https else _HTTP_PORT)
        return cls(is_https=is_https, host=in_brackets(name), port=port)

    @property
    def address(self) -> str:
        """Host and port."""
        return f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """The URL, with the port and without a slash at the end."""
        return f"{'https' if self.is_https else 'http'}://{self.address}"


@frozen(kw_only=True)
class VirtualHost:
    """A name that the web server answers to over TLS, on these ports, and what it does there.

    `documents` are served; with `homeserver` everything below `/_matrix/` goes on to it. `host` is
    in lower case, and an IPv6 address in brackets.
    """

    host: str
    ports: tuple[int, ...] = (HTTPS_PORT,)
    documents: tuple[WellKnownDocument, ...] = ()
    homeserver: Homeserver | None = None

    @property
    def bare_host(self) -> str:
        """The host without brackets, as certificates and files are named."""
        return self.host.strip("[]")

    @property
    def is_ip_literal(self) -> bool:
        """Whether clients send no name in TLS, so that the web server can't tell it by that."""
        return parse_ip_literal(self.bare_host) is not None


@frozen(kw_only=True)
class Setup:
    """All that is published of a server, and what the web server must do. See `plan_setup`.

    `delegate_to` is where peers are led to in the end, the server name itself where they ask for
    no document. `needs_document` is False where none is asked for or all goes well without one;
    `reason` says in a sentence why, and what True depends on.
    """

    server_name: ServerName
    delegate_to: ServerName
    client_url: str
    documents: tuple[WellKnownDocument, ...]
    homeserver: Homeserver | None = None
    needs_document: bool = True
    reason: str = ""

    @property
    def hosts(self) -> tuple[VirtualHost, ...]:
        """The virtual hosts: that of the documents first, then those that lead to the homeserver.

        Where `delegate_to` and `client_url` lead, `/_matrix/` goes on to the homeserver.
        """
        own = in_brackets(self.server_name).lower()
        ports: dict[str, set[int]] = {own: {HTTPS_PORT}}
        proxied = self._proxied() if self.homeserver is not None else []
        for host, port in proxied:
            ports.setdefault(host, set()).add(port)
        leading = {host for host, _ in proxied}
        return tuple(
            VirtualHost(
                host=host,
                ports=tuple(sorted(ports[host])),
                documents=self.documents if host == own else (),
                homeserver=self.homeserver if host in leading else None,
            )
            for host in ports
        )

    def _proxied(self) -> list[tuple[str, int]]:
        """Return where peers and clients connect to, as far as it is this web server's."""
        found = [(in_brackets(self.delegate_to).lower(), self.delegate_to.port or DEFAULT_PORT)]
        parts = checked_url(self.client_url, "client_url")
        if parts.scheme == "https" and parts.path in ("", "/"):
            name = ServerName.parse(parts.netloc)
            found.append((in_brackets(name).lower(), name.port or HTTPS_PORT))
        return found


def plan_setup(
    server_name: str | ServerName,
    delegate_to: str | ServerName | None = None,
    *,
    homeserver: str | None = None,
    client_url: str | None = None,
    support: WellKnownDocument | None = None,
) -> Setup:
    """Return what `server_name` has to publish so that servers and clients find it.

    `delegate_to` as for `well_known_document`. `homeserver` is the URL of the homeserver behind
    the web server, as `http://127.0.0.1:8008`. `client_url` is what clients are told; by default
    `https://` and the host that peers are led to. `support` is one more document.

    Nothing is asked of anybody. Errors are those of the documents; a `homeserver` that has a path
    is a `ValueError`, as requests must go on to it as they are.
    """
    name = parsed_name(server_name, "server_name")
    target = _target(name, delegate_to)
    if client_url is None:
        client_url = f"https://{in_brackets(target).lower()}"
    is_asked, needs_document, reason = _delegation(name, target, delegate_to is not None)
    documents = [client_well_known_document(client_url)]
    if is_asked:
        documents.insert(0, well_known_document(name, delegate_to))
    if support is not None:
        documents.append(support)
    return Setup(
        server_name=name,
        delegate_to=target,
        client_url=client_url,
        documents=tuple(documents),
        homeserver=None if homeserver is None else Homeserver.parse(homeserver),
        needs_document=needs_document,
        reason=reason,
    )


def in_brackets(name: ServerName) -> str:
    """Return the host as it stands in URLs: an IPv6 address in brackets, without the port."""
    return f"[{name.hostname}]" if ":" in name.hostname else name.hostname


def _target(name: ServerName, delegate_to: str | ServerName | None) -> ServerName:
    """Return where peers are led to."""
    if name.port is not None or name.is_ip_literal:  # steps 1 and 2: they ask for no document
        return name
    if delegate_to is not None:
        return parsed_name(delegate_to, "delegate_to")
    return ServerName.parse(f"{name}:{HTTPS_PORT}")


def _delegation(name: ServerName, target: ServerName, is_given: bool) -> tuple[bool, bool, str]:
    """Return whether peers ask for a document, whether one is needed, and why."""
    if name.is_ip_literal or name.port is not None:
        what = "is an IP address" if name.is_ip_literal else "has a port"
        where = f"{in_brackets(name)}:{name.port or DEFAULT_PORT}"
        reason = f"No delegation is possible: {name} {what}, so servers connect to {where}"
        ignored = ", and delegating it has no effect" if is_given else ""
        return False, False, f"{reason} and ask for no {SERVER_PATH}{ignored}."
    default = f"{name}:{DEFAULT_PORT}"
    if target.hostname.lower() == name.hostname.lower() and target.port in (None, DEFAULT_PORT):
        return (
            True,
            False,
            f"No delegation is needed: without a document too servers connect to {default}"
            " (unless there are SRV records), where they demand a certificate for that name.",
        )
    reason = (
        f"Delegation is needed unless the homeserver answers at https://{default} with a"
        f" certificate for {name}. If it does, serve no {SERVER_PATH}."
    )
    if target.port is None and not target.is_ip_literal:
        reason += (
            f" As {target} is named without a port, servers look for SRV records of it, and"
            f" without any connect to port {DEFAULT_PORT}."
        )
    return True, True, reason
