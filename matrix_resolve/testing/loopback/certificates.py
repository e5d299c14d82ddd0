"""A throwaway certificate authority, and what it makes of a wish for a bad certificate."""

import ssl
from datetime import UTC, datetime
from functools import cached_property

import trustme

from matrix_resolve.testing.loopback.declarations import Certificate, is_ip_literal

_LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)


class Certificates:
    """Makes the TLS settings of servers, each when it is first needed."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, Certificate], ssl.SSLContext] = {}

    @cached_property
    def _authority(self) -> trustme.CA:
        return trustme.CA()

    @cached_property
    def _stranger(self) -> trustme.CA:
        return trustme.CA()

    @property
    def ca_pem(self) -> bytes:
        """The certificate of the authority, for clients to trust."""
        return self._authority.cert_pem.bytes()

    def client_context(self) -> ssl.SSLContext:
        """Return the TLS settings of a client that trusts this authority and no other."""
        # With `cadata` the system's trust store is not loaded.
        context = ssl.create_default_context(cadata=self.ca_pem.decode("ascii"))
        context.hostname_checks_common_name = False
        context.set_alpn_protocols(["http/1.1"])
        return context

    def server_context(self, name: str, kind: Certificate) -> ssl.SSLContext:
        """Return the TLS settings of a server that presents a certificate for `name`."""
        context = self._made.get((name, kind))
        if context is None:
            context = new_server_context()
            self._issue(name, kind).configure_cert(context)
            self._made[name, kind] = context
        return context

    def _issue(self, name: str, kind: Certificate) -> trustme.LeafCert:
        match kind:
            case Certificate.VALID:
                return self._authority.issue_cert(name)
            case Certificate.WRONG_NAME:
                wrong = "192.0.2.99" if is_ip_literal(name) else "wrong-name.invalid"
                return self._authority.issue_cert(wrong)
            case Certificate.EXPIRED:
                return self._authority.issue_cert(name, not_after=_LONG_AGO)
            case Certificate.UNTRUSTED:
                return self._stranger.issue_cert(name)
            case Certificate.COMMON_NAME_ONLY:
                # An empty list of alternative names would be refused for being empty.
                return self._authority.issue_cert("nobody@wrong-name.invalid", common_name=name)


def new_server_context() -> ssl.SSLContext:
    """Return the TLS settings of a server, without a certificate yet."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    return context
