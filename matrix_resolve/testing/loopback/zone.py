"""DNS records by name, and how a recursive resolver answers from them. No socket here."""

from collections import Counter
from collections.abc import Iterable, Mapping

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset
from dns.rdtypes.ANY.CNAME import CNAME

from matrix_resolve.testing.loopback.declarations import Host, is_ip_literal

# A longer chain of aliases is a loop, or as good as one.
_MAX_ALIASES = 16

_IN = dns.rdataclass.IN
_CNAME, _SOA = dns.rdatatype.CNAME, dns.rdatatype.SOA

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
        """Publish what `host` says, in place of what it said before."""
        if is_ip_literal(host.name):
            return
        self._negative_ttls[host.name] = host.negative_ttl
        records: dict[int, Records] = {}
        if host.alias_of is not None:
            records[_CNAME] = _read(_CNAME, [host.alias_of], host.ttl)
        else:
            for family, wanted in ((dns.rdatatype.A, False), (dns.rdatatype.AAAA, True)):
                texts = [a for a in host.addresses if (":" in a) == wanted]
                records[family] = _read(family, texts, host.ttl)
        self._set(host.name, records)
        for service, srv in (("_matrix-fed", host.srv), ("_matrix", host.legacy_srv)):
            texts = [f"{r.priority} {r.weight} {r.port} {r.target}" for r in srv]
            found = _read(dns.rdatatype.SRV, texts, host.ttl)
            self._set(f"{service}._tcp.{host.name}", {dns.rdatatype.SRV: found})

    def withdraw(self, name: str) -> None:
        """Take back what `declare` published for `name`."""
        self._negative_ttls.pop(name, None)
        for owner in (name, f"_matrix-fed._tcp.{name}", f"_matrix._tcp.{name}"):
            self._set(owner, {})

    def publish(self, owner: str, kind: str, texts: Iterable[str], ttl: int) -> None:
        """Publish records of one type, in place of those of that type."""
        rdtype = dns.rdatatype.from_text(kind)
        self._set(owner, {**self._records.get(owner, {}), rdtype: _read(rdtype, texts, ttl)})

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
        return _rrset(dns.name.from_text(apex), _read(_SOA, [text], ttl))


def as_text(name: dns.name.Name) -> str:
    """Return `name` as the zone keeps it: lower case, no final dot, "." for the root."""
    return name.to_text(omit_final_dot=name != dns.name.root).lower()


def _upwards(owner: str) -> Iterable[str]:
    """Yield `owner` and the names above it, the root left out."""
    while owner:
        yield owner
        owner = owner.partition(".")[2]


def _read(rdtype: dns.rdatatype.RdataType, texts: Iterable[str], ttl: int) -> Records:
    """Read records from text, in which every name counts from the root."""
    read = dns.rdata.from_text
    return ttl, tuple(read(_IN, rdtype, text, dns.name.root, False) for text in texts)


def _rrset(name: dns.name.Name, records: Records) -> dns.rrset.RRset:
    ttl, rdatas = records
    return dns.rrset.from_rdata_list(name, ttl, rdatas)
