"""Every code of a finding: how grave it can be, and what it means. One table, a code a line."""

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final

from attrs import frozen


class Level(Enum):
    """How grave a finding is."""

    ERROR = "error"
    """Others can't reach the server, or don't believe it."""
    WARNING = "warning"
    """Some others can't, or it will break."""
    NOTE = "note"
    """Good to know."""


@frozen
class Entry:
    """What a code means, and the levels that it is found at, the gravest first."""

    levels: tuple[Level, ...]
    meaning: str


_TABLE: Final = """
no-addresses              EN  a host has no IP addresses
addresses-private         EWN addresses that are not on the public Internet
dns-failed                WN  DNS could not be asked from here: nothing is known
own-network               WN  this machine could not try: nothing is known
unfinished                N   the time was over before all was looked at
alias-at-name             N   the server name is an alias (CNAME)
dns-ttl-short             N   DNS records that live less than a minute

srv-not-offered           E   the only SRV record has the target ".": no federation
srv-record-unusable       EW  an SRV record that nobody can use
srv-target-no-addresses   W   one of several SRV targets has no IP addresses
srv-target-alias          W   an SRV target is an alias (RFC 2782 forbids it)
srv-weight-zero           W   SRV records that are next to never drawn
srv-legacy-only           N   SRV records under the deprecated _matrix._tcp only
srv-used                  N   SRV records lead to the server
srv-not-asked             N   SRV records that peers never ask for

delegation-missing        E   no document, and nothing answers at port 8448
document-status           EWN the document is answered with another status than 200
document-unreachable      EWN the document can't be fetched
document-page             EWN a web page stands where the document should
document-not-json         EW  the document is not JSON in UTF-8
document-not-an-object    EW  the document is JSON, but no object
document-no-m-server      EW  the document has no m.server
document-m-server         EW  m.server is no server name
document-url              EW  m.server is a URL, or has a path
document-private-address  E   m.server is a private address or localhost
document-too-large        EW  the document is longer than peers read
document-redirect-http    EW  the document's place redirects to http
document-redirect-loop    EW  the document's place redirects in a loop
document-redirect-refused EW  the document's place redirects to where peers don't follow
document-redirects-many   EW  the document's place redirects more often than peers like
document-redirected       N   the document stands elsewhere
document-differs          EW  the addresses of the host give different documents
document-content-type     N   the document's Content-Type is not application/json
document-lifetime         N   how long peers keep the document is not said, or not what they do
document-compressed       W   the document comes compressed, which nobody asked for
document-headers          W   more headers around the document than peers take
document-headers-doubled  W   a header around the document comes twice
document-without-port     WN  m.server has no port, so it means 8448
document-to-itself        N   the document names what peers would use anyway
document-to-alias         N   the document names an alias of the server name itself
document-delegates-again  N   the delegated host has a document of its own, which nobody reads
document-outdated-copy    W   the delegated host gives the document with another port

tcp-refused               E   connections are refused
tcp-timeout               E   nothing answers: a firewall, most likely
tcp-unreachable           E   no route leads to the address
tcp-second-try            W   the first connection failed, the second did not
ipv6-dead                 W   the IPv6 addresses don't answer, the IPv4 addresses do
ipv4-dead                 W   the IPv4 addresses don't answer, the IPv6 addresses do
address-dead              W   some of several addresses don't answer
target-dead               W   some of several targets don't answer
tls-plain-http            EW  the port speaks HTTP without TLS
tls-none                  EW  the port speaks no TLS
tls-timeout               EW  the TLS handshake does not end
tls-alert                 EW  the server breaks the TLS handshake off
tls-too-old               EW  TLS below 1.2
tls-self-signed           EW  a self-signed certificate
tls-unknown-issuer        EW  the chain is incomplete, or its authority is not trusted
tls-expired               EW  the certificate has expired
tls-not-yet-valid         EW  the certificate is not valid yet
tls-wrong-name            EW  the certificate is for other names
tls-srv-target-name       EW  the certificate is for the SRV target, not for the server name
tls-common-name           EW  the name stands in the certificate's subject only
tls-other                 EW  the TLS handshake fails in another way
tls-ends-soon             W   the certificate ends within 14 days
tls-without-sni           N   without SNI another certificate comes, or none
certificates-differ       W   the endpoints show different certificates
software-differs          W   the endpoints run different software
keys-differ               W   the endpoints give different keys
version-failed            EW  no response to /_matrix/federation/v1/version
version-not-found         EW  404 for /_matrix/federation/v1/version: it is not passed on
version-page              EW  a web page for /_matrix/federation/v1/version
version-redirected        EW  a redirect of /_matrix, which peers don't follow
version-status            EW  another status than 200 for /_matrix/federation/v1/version
version-not-json          EW  no JSON object for /_matrix/federation/v1/version
version-incomplete        W   the version has no name or no version
keys-failed               EW  no response to /_matrix/key/v2/server
keys-not-found            EW  404 for /_matrix/key/v2/server: it is not passed on
keys-status               EW  another status than 200 for /_matrix/key/v2/server
keys-not-json             EW  no JSON object for /_matrix/key/v2/server
keys-no-document          EW  another JSON object for /_matrix/key/v2/server
keys-too-large            EW  a key document longer than anyone reads
keys-other-server         EW  the keys are another server's
keys-no-server-name       EW  the key document names no server
keys-valid-until          EW  the key document does not say until when it is valid
keys-expired              EW  the keys are valid no longer
keys-expire-soon          W   the keys are valid for less than an hour
keys-no-ed25519           EW  there is no ed25519 key
keys-bad-key              EW  a key that nobody can use
keys-bad-key-id           W   a key with a malformed id
keys-bad-old-key          W   an old key that nobody can use
keys-too-many             W   more keys than peers look at
keys-unsigned             EW  the key document is not signed with its key
keys-bad-signature        EW  the signature of the key document is wrong
keys-not-canonical        W   the key document is not canonical JSON
api-content-type          N   the API answers with another Content-Type than application/json
federation-open           E   federation answers, though it was to be closed
direct-works              N   port 8448 of the server name itself works as well
direct-fails              N   port 8448 of the server name itself does not work

client-document-missing   N   no document for clients
client-document-wrong     W   the document for clients is of no use
client-cors               W   browsers may not read the document for clients
client-content-type       W   the document for clients is not application/json
client-api-failed         W   the base_url for clients can't be reached
client-api-wrong          W   no client API at the base_url for clients
support-missing           N   no support document (MSC1929)
support-wrong             N   the support document is of no use
"""

_LETTERS: Final = {level.name[0]: level for level in Level}


def _entries(table: str) -> Mapping[str, Entry]:
    rows = (line.split(maxsplit=2) for line in table.splitlines() if line)
    return MappingProxyType(
        {
            code: Entry(tuple(_LETTERS[letter] for letter in letters), meaning)
            for code, letters, meaning in rows
        }
    )


CATALOGUE: Final = _entries(_TABLE)
"""Code -> what it means, in the order of what is looked at."""


def catalogue_lines() -> list[str]:
    """Return the codes as lines of text: code, levels, meaning."""
    levels = {code: ", ".join(each.value for each in e.levels) for code, e in CATALOGUE.items()}
    code_width, level_width = (max(map(len, column)) for column in (levels, levels.values()))
    return [
        f"{code:<{code_width}}  {levels[code]:<{level_width}}  {entry.meaning}"
        for code, entry in CATALOGUE.items()
    ]
