"""What is declared in the loopback federation of each picture."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from matrix_resolve.testing import Certificate, LoopbackFederation, Redirect, Reply, Request

_ANY_ORIGIN: Final = [("Access-Control-Allow-Origin", "*")]
# What is behind https://example.org, beside pages.
_SERVED: Final[dict[str, Any]] = {
    "/_matrix/federation/v1/version": {"server": {"name": "Synapse", "version": "1.140.0"}},
    "/_matrix/client/versions": Reply(headers=_ANY_ORIGIN, body={"versions": ["v1.11"]}),
    "/.well-known/matrix/client": Reply(
        headers=_ANY_ORIGIN, body={"m.homeserver": {"base_url": "https://example.org"}}
    ),
    "/.well-known/matrix/support": Reply(
        headers=_ANY_ORIGIN,
        body={"contacts": [{"role": "m.role.admin", "matrix_id": "@admin:example.org"}]},
    ),
}


def redirected(federation: LoopbackFederation) -> None:
    """`example.org` redirects to a document, which names a host with SRV records."""
    document = Reply(
        headers=[("Cache-Control", "max-age=86400")], body={"m.server": "matrix.example.org"}
    )
    at = "https://www.example.org/.well-known/matrix/server"
    federation.add("example.org", well_known=Redirect(at, 301))
    federation.add("www.example.org", well_known=document)
    records = [("a.example.org", 8448), ("b.example.org", 443)]
    federation.add("matrix.example.org", srv=records, ttl=3600)
    federation.add("a.example.org", addresses=["2a00:1450::7", "192.0.3.7"])
    federation.add("b.example.org", addresses=["192.0.3.8"])


def without_delegation(federation: LoopbackFederation) -> None:
    """`example.org` has a homeserver behind its web server, and nothing that tells so."""
    federation.add(
        "example.org",
        well_known=Reply(404),
        serves=lambda request: _SERVED.get(request.path),
        addresses=["192.0.3.7"],
        ports=[443],
    )


LATE: Final = 78
"""How many of the `many` names answer late."""

_KINDS: Final[tuple[tuple[int, str, dict[str, Any]], ...]] = (
    (60, "delegating", {"delegates_to": "matrix.example.org:443"}),
    (22, "to-host", {"delegates_to": "host.example.org"}),
    (14, "to-srv", {"delegates_to": "srv.example.org"}),
    (3, "to-old-srv", {"delegates_to": "old.example.org"}),
    (18, "srv", {"srv": [("matrix.example.org", 8448)]}),
    (5, "old-srv", {"legacy_srv": [("matrix.example.org", 8448)]}),
    (24, "plain", {}),
    (5, "page", {"well_known": b"<html>"}),
    (4, "broken", {"well_known": Reply(503)}),
    (3, "misnamed", {"certificate": Certificate.WRONG_NAME}),
    (2, "private", {"srv": [(".", 0)]}),
)


def many(federation: LoopbackFederation, may_go_on: Callable[[], Awaitable[object]]) -> list[str]:
    """Return names of all kinds; the last `LATE` of them answer when `may_go_on` has returned."""
    federation.add("srv.example.org", srv=[("matrix.example.org", 8448)])
    federation.add("old.example.org", legacy_srv=[("matrix.example.org", 8448)])
    names = ["alice@example.org", "matrix_1.example.org"]
    for count, kind, declared in _KINDS:
        for number in range(count):
            names.append(f"{kind}{number}.example")
            federation.add(names[-1], **declared)

    async def answer(_: Request) -> Any:
        await may_go_on()
        return {"m.server": "matrix.example.org:443"}

    for number in range(LATE):
        names.append(f"late{number}.example")
        federation.add(names[-1], well_known=answer)
    return names
