"""The specification's "Resolving server names" as a table: what is published, what must come out.

A row a line; it drives the tests of the core, of the loopback federation and the command's demo.
Each name stands in one row only, so that one federation can hold them all.
"""

from collections.abc import Mapping
from typing import Any, Final

from attrs import frozen

from matrix_resolve.core.names import ServerName
from matrix_resolve.core.replies import SrvRecord
from matrix_resolve.core.resolution import Resolution, Step

# Where nothing may lead.
_WRONG: Final = "wrong.test"

# `m.server` is what the document of the name says, one in "<>" is no JSON. The SRV records are
# those of the host that decides, lowest priority first: "fed" under `_matrix-fed`, "old" under the
# deprecated `_matrix`.
_STEPS: Final = """
step name          m.server      SRV                     connect to          Host          TLS name
1    127.0.0.1     -             -                       127.0.0.1:8448      127.0.0.1     127.0.0.1
1    127.0.0.1:443 -             -                       127.0.0.1:443       127.0.0.1:443 127.0.0.1
1    [::0A]        -             -                       [::a]:8448          [::0A]        ::a
1    [::1]:443     -             -                       [::1]:443           [::1]:443     ::1
2    own.test:8450 -             -                       own.test:8450       own.test:8450 own.test
2    Web.test:443  -             -                       Web.test:443        Web.test:443  Web.test
2    std.test:8448 -             -                       std.test:8448       std.test:8448 std.test
3.1  a31.test      127.0.0.2     -                       127.0.0.2:8448      127.0.0.2     127.0.0.2
3.1  b31.test      127.0.0.2:443 -                       127.0.0.2:443       127.0.0.2:443 127.0.0.2
3.1  c31.test      [::0A]        -                       [::a]:8448          [::0A]        ::a
3.1  d31.test      [::1]:443     -                       [::1]:443           [::1]:443     ::1
3.2  a32.test      h32.test:443  -                       h32.test:443        h32.test:443  h32.test
3.2  b32.test      b32.test:443  -                       b32.test:443        b32.test:443  b32.test
3.3  a33.test      h33.test      fed=y.test:2,z.test:1   y.test:2,z.test:1   h33.test      h33.test
3.4  a34.test      h34.test      old=y.test:3            y.test:3            h34.test      h34.test
3.5  a35.test      h35.test      -                       h35.test:8448       h35.test      h35.test
3.5  b35.test      b35.test      -                       b35.test:8448       b35.test      b35.test
3.5  c35.test      D35.test      -                       D35.test:8448       D35.test      D35.test
4    a4.test       -             fed=z.test:443,y.test:4 z.test:443,y.test:4 a4.test       a4.test
5    a5.test       -             old=y.test:6            y.test:6            a5.test       a5.test
6    a6.test       -             -                       a6.test:8448        a6.test       a6.test
6    B6.test       -             -                       B6.test:8448        B6.test       B6.test
6    c6.test       <html>        -                       c6.test:8448        c6.test       c6.test
"""

# The public names of a service for testing resolvers, without its zone.
_RESOLVEMATRIX_DEV: Final = """
step  server name  m.server       SRV records                 connect to              Host
2     2:7652       -              -                           2:7652                  2:7652
3.2   3b           wk.3b:7753     -                           wk.3b:7753              wk.3b:7753
3.4   3c           wk.3c          old=srv.wk.3c:7754          srv.wk.3c:7754          wk.3c
3.3   3c.msc4040   wk.3c.msc4040  fed=srv.wk.3c.msc4040:7053  srv.wk.3c.msc4040:7053  wk.3c.msc4040
3.5   3d           wk.3d          -                           wk.3d:8448              wk.3d
5     4            -              old=srv.4:7855              srv.4:7855              4
4     4.msc4040    -              fed=srv.4.msc4040:7054      srv.4.msc4040:7054      4.msc4040
6     5            <no.JSON>      -                           5:8448                  5
"""


@frozen(kw_only=True)
class StepRow:
    """A server name, what is published about it, and where the specification says that it leads.

    `document` is the body of a well-known document that is no JSON. `targets` are (host, port) in
    the order to try, `service` is the one under which they are published ("" if they are not).
    """

    step: Step
    server_name: ServerName
    delegated_to: ServerName | None
    document: bytes | None
    service: str
    targets: tuple[tuple[str, int], ...]
    host_header: str
    tls_name: str

    @property
    def label(self) -> str:
        """The row in a few words."""
        return f"{self.step.value} {self.server_name}"

    def agrees_with(self, resolution: Resolution) -> bool:
        """Return whether a resolution leads where the specification says."""
        return (
            self.step is resolution.step
            and self.server_name == resolution.server_name
            and self.delegated_to == resolution.delegated_to
            and self.targets == tuple((each.host, each.port) for each in resolution.targets)
            and self.host_header == resolution.host_header
            and self.tls_name == resolution.tls_name
        )

    @property
    def hosts(self) -> Mapping[str, Mapping[str, Any]]:
        """What to declare: host -> the arguments of `LoopbackFederation.add`.

        The records stand in another order than that of their priorities, and have weights that
        would turn it round. Beside the way stands what must not be followed: a document and records
        where the specification asks for none, deprecated records beside new ones.
        """
        wrong = [SrvRecord(0, 0, 9, _WRONG)]
        name, delegated = self.server_name, self.delegated_to
        hosts: dict[str, dict[str, Any]] = {}
        if name.is_ip_literal:
            return hosts
        declared = hosts[name.canonical_host] = {}
        if name.port is not None:
            declared |= {"delegates_to": _WRONG, "srv": wrong, "legacy_srv": wrong}
            return hosts
        if self.document is not None:
            declared["well_known"] = self.document
        if delegated is not None:
            declared |= {"delegates_to": str(delegated), "srv": wrong, "legacy_srv": wrong}
            if delegated.is_ip_literal:
                return hosts
            if delegated.hostname.lower() != name.hostname.lower():
                declared = hosts[delegated.hostname] = {"delegates_to": f"{_WRONG}:9"}
            never_asked = wrong if delegated.port is not None else []
            declared |= {"srv": never_asked, "legacy_srv": never_asked}
        records = [
            SrvRecord(1 + place, place, port, host)
            for place, (host, port) in enumerate(self.targets)
        ]
        if self.service == "old":
            declared["legacy_srv"] = records[::-1]
        elif self.service == "fed":
            declared |= {"srv": records[::-1], "legacy_srv": wrong}
        return hosts


def _rows(table: str, zone: str = "") -> tuple[StepRow, ...]:
    """Read a table; `zone` is added to each host."""
    lines = table.strip().splitlines()
    return tuple(_row(zone, *line.split()) for line in lines[1:])


def _row(
    zone: str,
    step: str,
    name: str,
    m_server: str,
    records: str,
    targets: str,
    host_header: str,
    tls_name: str | None = None,
) -> StepRow:
    def in_zone(text: str) -> str:
        host, colon, port = text.partition(":") if zone else (text, "", "")
        return f"{host}{zone}{colon}{port}"

    found = [ServerName.parse(in_zone(target)) for target in targets.split(",")]
    service, _, published = records.partition("=")
    assert published in ("", targets)
    host = ServerName.parse(in_zone(host_header))
    return StepRow(
        step=Step(step),
        server_name=ServerName.parse(in_zone(name)),
        delegated_to=None if m_server[0] in "-<" else ServerName.parse(in_zone(m_server)),
        document=m_server.encode() if m_server[0] == "<" else None,
        service=service.strip("-"),
        targets=tuple((target.canonical_host, target.port or 0) for target in found),
        host_header=str(host),
        tls_name=host.canonical_host if tls_name is None else tls_name,
    )


STEPS: Final = _rows(_STEPS)
"""Each step of the specification at least once."""
RESOLVEMATRIX_DEV: Final = _rows(_RESOLVEMATRIX_DEV, ".s.resolvematrix.dev")
"""The test names of resolvematrix.dev, its zones replicated."""
