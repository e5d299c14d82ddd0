"""DNS records by name, and how a recursive resolver answers from them. No socket here."""

from collections import Counter
from collections.abc import Iterable, Mapping

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset
from dns.rdtypes.ANY.CNAME import CNAME
from dns.rdtypes.IN.SRV import SRV

from matrix_resolve.errors import shown
from matrix_resolve.testing.loopback.declarations import Host, is_ip_literal

# A longer chain of aliases is a loop, or as good as one.
_MAX_ALIASES = 16

_IN = dns.rdataclass.IN
_CNAME, _SOA, _SRV = dns.rdatatype.CNAME, dns.rdatatype.SOA, dns.rdatatype.SRV

MAX_ANSWER = 65535
"""Most octets of a message, over TCP (RFC 1035, 4.2.2)."""
# So many records with names fit into an answer in any case.
_SURELY_FIT = 200

Records = tuple[int, tuple[dns.rdata.Rdata, ...]]
"""A TTL, and what is published with it."""


class Zone:
    """All the records that there are, as one name server would tell them."""

    def __init__(self) -> None:
        self._records: dict[str, dict[int, Records]] = {}
        # How many names with records are at or below a name: one without records of its own that
        # has such is an empty non-terminal, which exists (RFC 8020).
        self._at_or_below: Counter[str] = Counter()
        self._negative_ttls: dict[str, int] = {}

    def declare(self, host: Host) -> None:
        """Publish what `host` says, in place of what it said before; `ValueError` if it can't."""
        if is_ip_literal(host.name):
            return
        own: dict[int, Records] = {}
        if host.alias_of is not None:
            own[_CNAME] = _read(host.name, _CNAME, [host.alias_of], host.ttl)
        else:
            for family, wanted in ((dns.rdatatype.A, False), (dns.rdatatype.AAAA, True)):
                texts = [a for a in host.addresses if (":" in a) == wanted]
                own[family] = _read(host.name, family, texts, host.ttl)
        published: dict[str, dict[int, Records]] = {host.name: own}
        for service, srv in (("_matrix-fed", host.srv), ("_matrix", host.legacy_srv)):
            texts = [f"{r.priority} {r.weight} {r.port} {r.target}" for r in srv]
            owner = f"{service}._tcp.{host.name}"
            published[owner] = {_SRV: _read(owner, _SRV, texts, host.ttl)}
        self._negative_ttls[host.name] = host.negative_ttl
        for owner, records in published.items():
            self._set(owner, records)

    def withdraw(self, name: str) -> None:
        """Take back what `declare` published for `name`."""
        self._negative_ttls.pop(name, None)
        for owner in (name, f"_matrix-fed._tcp.{name}", f"_matrix._tcp.{name}"):
            self._set(owner, {})

    def publish(
        self, owner: str, kind: str, texts: Iterable[str], ttl: int
    ) -> set[tuple[str, int]]:
        """Publish records of one type, in place of those of that type.

        Returns the (host, port) pairs that they name if they are SRV records. Raises `ValueError`
        for what can't be published.
        """
        try:
            rdtype = dns.rdatatype.from_text(kind)
        except dns.exception.DNSException as error:
            raise ValueError(f"{shown(kind)} is no type of record") from error
        read = _read(owner, rdtype, texts, ttl)
        self._set(owner, {**self._records.get(owner, {}), rdtype: read})
        return {(as_text(each.target), each.port) for each in read[1] if isinstance(each, SRV)}

    def _set(self, owner: str, records: Mapping[int, Records]) -> None:
        published = {rdtype: found for rdtype, found in records.items() if found[1]}
        change = bool(published) - (owner in self._records)
        if published:
            self._records[owner] = published
        else:
            self._records.pop(owner, None)
        for name in _upwards(owner):
            self._at_or_below[name] += change

    def answer(self, query: dns.message.QueryMessage) -> dns.message.Message:
        """Return the answer to a query with one question, following aliases."""
        response = dns.message.make_response(query, recursion_available=True)
        question = query.question[0]
        name = question.name
        for _ in range(_MAX_ALIASES):
            owner = as_text(name)
            records = self._records.get(owner, {})
            if question.rdtype in records:
                response.answer.append(_rrset(name, records[question.rdtype]))
                return response
            if _CNAME not in records:
                if not self._exists(owner):
                    response.set_rcode(dns.rcode.NXDOMAIN)
                response.authority.append(self._soa(owner))
                return response
            response.answer.append(_rrset(name, records[_CNAME]))
            (alias,) = records[_CNAME][1]
            assert isinstance(alias, CNAME)
            name = alias.target
        response.set_rcode(dns.rcode.SERVFAIL)
        return response

    def _exists(self, owner: str) -> bool:
        return bool(self._at_or_below[owner]) or owner in self._negative_ttls or owner == "."

    def denial(self, query: dns.message.QueryMessage, *, no_such_name: bool) -> dns.message.Message:
        """Return that there is no such name, or no such record, whatever is published."""
        response = dns.message.make_response(query, recursion_available=True)
        if no_such_name:
            response.set_rcode(dns.rcode.NXDOMAIN)
        response.authority.append(self._soa(as_text(query.question[0].name)))
        return response

    def _soa(self, owner: str) -> dns.rrset.RRset:
        """Return the SOA of the zone that `owner` is in: every declared name heads one."""
        apex = next((name for name in _upwards(owner) if name in self._negative_ttls), ".")
        ttl = self._negative_ttls.get(apex, 60)
        text = f"ns.invalid. hostmaster.invalid. 1 3600 600 86400 {ttl}"
        return _rrset(dns.name.from_text(apex), _read(apex, _SOA, [text], ttl))


def as_text(name: dns.name.Name) -> str:
    """Return `name` as the zone keeps it: lower case, no final dot, "." for the root."""
    return name.to_text(omit_final_dot=name != dns.name.root).lower()


def _upwards(owner: str) -> Iterable[str]:
    """Yield `owner` and the names above it, the root left out."""
    while owner:
        yield owner
        owner = owner.partition(".")[2]


def _read(owner: str, rdtype: dns.rdatatype.RdataType, texts: Iterable[str], ttl: int) -> Records:
    """Read records from text, in which every name counts from the root.

    Raises `ValueError` for those that can't be read, or that no answer can hold.
    """
    codec = dns.name.IDNA_2003  # as `plain_host`: it has emoji too
    try:
        rdatas = tuple(
            dns.rdata.from_text(_IN, rdtype, text, dns.name.root, False, idna_codec=codec)
            for text in texts
        )
        if rdatas:
            _make_sure_that_it_fits(dns.name.from_text(owner), rdtype, (ttl, rdatas))
    except dns.exception.DNSException as error:
        kind = dns.rdatatype.to_text(rdtype)
        raise ValueError(f"{owner} can't have these {kind} records: {error}") from error
    return ttl, rdatas


def _make_sure_that_it_fits(
    name: dns.name.Name, rdtype: dns.rdatatype.RdataType, records: Records
) -> None:
    if len(records[1]) > _SURELY_FIT:
        response = dns.message.make_response(dns.message.make_query(name, rdtype, use_edns=0))
        response.answer.append(_rrset(name, records))
        response.to_wire(max_size=MAX_ANSWER)


def _rrset(name: dns.name.Name, records: Records) -> dns.rrset.RRset:
    ttl, rdatas = records
    return dns.rrset.from_rdata_list(name, ttl, rdatas)
