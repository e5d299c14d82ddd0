"""Which document a server should serve, as far as what was seen tells."""

from matrix_resolve.checking.facts import TlsProblem
from matrix_resolve.checking.findings.situation import BY_SRV, Situation
from matrix_resolve.checking.findings.tls import is_for
from matrix_resolve.checking.texts import to_serve
from matrix_resolve.core.names import is_hostname
from matrix_resolve.serving import WellKnownDocument, well_known_document


def wanted_document(situation: Situation) -> WellKnownDocument:
    """Return the document that is most likely right.

    What was meant by a document that is no use counts first, then what a certificate was seen for;
    else the homeserver is taken to stand behind https://<server name>, as the web does.
    """
    to, delegated = _meant(situation) or named_by_certificate(situation), situation.delegated
    if to is None and delegated is not None and not delegated.is_ip_literal:
        to = f"{delegated.hostname}:{delegated.port or 443}"
    return well_known_document(situation.name, to)


def serve_it(situation: Situation) -> str:
    """Return the words "serve this there"."""
    return to_serve(situation.name.hostname, wanted_document(situation))


def _meant(situation: Situation) -> str | None:
    return next((each.meant for each in situation.readings if each.meant), None)


def named_by_certificate(situation: Situation) -> str | None:
    """Return a host and port that an endpoint shows a certificate for, where it shows a wrong one.

    Only a host of the same owner: the SRV target, or one below the server name. Whatever answers
    at a shared address may show the certificate of anybody.
    """
    own = f".{situation.name.hostname.lower()}"
    for seen in situation.endpoints:
        tls, target = seen.endpoint.tls, seen.endpoint.target
        if tls is None or tls.certificate is None or tls.problem is not TlsProblem.WRONG_NAME:
            continue
        if situation.step in BY_SRV and is_for(tls, target.host):
            return str(target)
        for name in tls.certificate.names:
            if is_hostname(name) and name.lower().endswith(own):
                return f"{name}:{target.port}"
    return None
