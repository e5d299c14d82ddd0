"""What is wrong in a TLS handshake, in words."""

from typing import Final

from matrix_resolve.checking.facts import EndpointFacts, TlsFacts, TlsProblem
from matrix_resolve.checking.findings.fault import Fault
from matrix_resolve.checking.texts import listed, moment, sentence
from matrix_resolve.errors import shown

_LETS_ENCRYPT: Final = "get one from an authority that peers trust, such as Let's Encrypt"

# Problem -> (code, fact, advice), with gaps for what was seen and wanted.
_WORDS: Final = {
    TlsProblem.PLAIN_HTTP: (
        "tls-plain-http",
        "Port {port} speaks HTTP without TLS, where peers want HTTPS.",
        "Put TLS on port {port} (with nginx: listen {port} ssl), with a certificate for {name}, "
        "or delegate to a port that has it.",
    ),
    TlsProblem.NO_TLS: (
        "tls-none",
        "Port {port} accepts connections, but no TLS comes of them: {reason}.",
        "Have a web server or the homeserver speak TLS on port {port}, with a certificate for "
        "{name}; look for a firewall or load balancer that closes connections.",
    ),
    TlsProblem.TIMEOUT: (
        "tls-timeout",
        "Port {port} accepts connections, but the TLS handshake does not end.",
        "See whether what listens on port {port} hangs, or speaks another protocol.",
    ),
    TlsProblem.ALERT: (
        "tls-alert",
        "The server breaks the TLS handshake for {name} off: {reason}.",
        "Add {name} to the names that the server or proxy has a certificate for.",
    ),
    TlsProblem.TOO_OLD: (
        "tls-too-old",
        "The server speaks no TLS of version 1.2 or later: {reason}.",
        "Switch TLS 1.2 and 1.3 on (with nginx: ssl_protocols TLSv1.2 TLSv1.3).",
    ),
    TlsProblem.SELF_SIGNED: (
        "tls-self-signed",
        "The certificate is self-signed (by {issuer}), and nobody else trusts it.",
        f"For {{name}} {_LETS_ENCRYPT}.",
    ),
    TlsProblem.UNKNOWN_ISSUER: (
        "tls-unknown-issuer",
        "The certificate does not lead to an authority that peers trust: an intermediate "
        "certificate is missing, or {issuer} is not known.",
        "Send the whole chain (with nginx: ssl_certificate with fullchain.pem, not cert.pem); if "
        f"the authority is your own, {_LETS_ENCRYPT}.",
    ),
    TlsProblem.EXPIRED: (
        "tls-expired",
        "The certificate ended at {until}.",
        "Renew it, and have the server load the new one (it may have been renewed and not loaded).",
    ),
    TlsProblem.NOT_YET_VALID: (
        "tls-not-yet-valid",
        "The certificate is not valid before {since}.",
        "Set the clock of the machine that made it right, and get a new one.",
    ),
    TlsProblem.WRONG_NAME: (
        "tls-wrong-name",
        "The certificate is for {names}; peers want one for {name}.",
        "Get a certificate that has {name} among its names, and have port {port} show it.",
    ),
    TlsProblem.COMMON_NAME_ONLY: (
        "tls-common-name",
        "The certificate has {common_name} in its subject only, where nobody looks any more.",
        "Get a certificate that has {name} as an alternative name (subjectAltName).",
    ),
    TlsProblem.OTHER: (
        "tls-other",
        "The TLS handshake fails: {reason}.",
        "Try it with: openssl s_client -connect {target} -servername {name}.",
    ),
}


def tls_fault(endpoint: EndpointFacts, tls_name: str, place: str, *, by_srv: bool) -> Fault | None:
    """Return what is wrong with a handshake that went on for `tls_name`, None if nothing."""
    tls, target = endpoint.tls, endpoint.target
    if tls is None or tls.problem is None:
        return None
    certificate = tls.certificate
    values = {
        "port": target.port,
        "target": target,
        "name": tls_name,
        "reason": sentence(tls.reason),
        "issuer": _issuer(tls),
        "names": names_of(tls),
        "common_name": shown(certificate.common_name or "") if certificate else "the name",
        "until": moment(certificate.not_after) if certificate else "a moment that is past",
        "since": moment(certificate.not_before) if certificate else "a moment to come",
    }
    code, fact, advice = _WORDS[tls.problem]
    if tls.problem is TlsProblem.WRONG_NAME and by_srv and is_for(tls, target.host):
        code = "tls-srv-target-name"
        fact = "The certificate is for the SRV target ({names}); peers want one for {name}, since "
        fact += "SRV records do not change the name."
        advice = "Get a certificate for {name} there, or take the SRV records away and delegate by "
        advice += f'a document with "m.server": "{target}".'
    return Fault(code, fact.format_map(values), advice.format_map(values), place)


def ends_soon(tls: TlsFacts, at: float, days: float = 14) -> bool:
    """Return whether a certificate ends within so many days."""
    end = None if tls.certificate is None else tls.certificate.not_after
    return tls.problem is None and end is not None and end - at < days * 86400


def names_of(tls: TlsFacts) -> str:
    """Return the names of a certificate in words."""
    names = () if tls.certificate is None else tls.certificate.names
    return listed(names) or "no name at all"


def is_for(tls: TlsFacts, host: str) -> bool:
    """Return whether a certificate is for `host` (RFC 9525, 6.3)."""
    wanted = host.lower()
    names = () if tls.certificate is None else tls.certificate.names
    return any(
        name.lower() == wanted
        or (name.startswith("*.") and name[1:].lower() == f".{wanted.partition('.')[2]}")
        for name in names
    )


def _issuer(tls: TlsFacts) -> str:
    issuer = "" if tls.certificate is None else tls.certificate.issuer
    return shown(issuer) if issuer else "its issuer"
