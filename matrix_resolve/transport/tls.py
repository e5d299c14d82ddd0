"""The TLS settings of connections to other servers."""

import ssl


def default_ssl_context() -> ssl.SSLContext:
    """Return a context that trusts what the system trusts and checks alternative names only.

    Common names are not looked at (RFC 9525, 2). Making one reads the trust store, which takes
    some 20 ms: make one, and share it.
    """
    context = ssl.create_default_context()
    context.hostname_checks_common_name = False
    context.options |= ssl.OP_NO_RENEGOTIATION  # which TLS 1.2 lets a server ask for without end
    context.set_alpn_protocols(["http/1.1"])
    return context
