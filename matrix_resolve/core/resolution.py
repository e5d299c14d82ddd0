"""The result of a resolution."""

from datetime import UTC, datetime
from enum import Enum
from typing import Any

from attrs import field, frozen

from matrix_resolve.core.answer_json import answer_to_dict
from matrix_resolve.core.names import IPAddress, ServerName
from matrix_resolve.core.packed import unpack
from matrix_resolve.core.story import TrailEntry, story, story_lines, trail_of


class Step(Enum):
    """The step of "Resolving server names" that decided; the values are the specification's."""

    IP_LITERAL = "1"
    EXPLICIT_PORT = "2"
    WELL_KNOWN_IP_LITERAL = "3.1"
    WELL_KNOWN_EXPLICIT_PORT = "3.2"
    WELL_KNOWN_SRV = "3.3"
    WELL_KNOWN_LEGACY_SRV = "3.4"
    WELL_KNOWN_DEFAULT_PORT = "3.5"
    SRV = "4"
    LEGACY_SRV = "5"
    DEFAULT_PORT = "6"


@frozen(kw_only=True, weakref_slot=False)
class Target:
    """A host and port to connect to. `host` is a DNS name or an IP literal without brackets.

    `priority` and `weight` are those of the SRV record (RFC 2782), 0 where there was none.
    """

    host: str
    port: int
    priority: int = 0
    weight: int = 0

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@frozen(kw_only=True)
class Endpoint:
    """An IP address and port to dial, and the target that it belongs to."""

    address: IPAddress
    port: int
    target: Target


def _as_text(name: ServerName | str | None) -> str | None:
    return None if name is None else str(name)


@frozen(kw_only=True, weakref_slot=False)
class Resolution:
    """Where a server name leads: what to connect to, what to send, what certificate to demand.

        resolution.targets[0].host, resolution.targets[0].port  # "matrix.example.org", 443
        resolution.host_header, resolution.tls_name
        print(resolution.explain())

    Send `host_header` as `Host`; demand a certificate valid for `tls_name` (no brackets, no port),
    and send it as SNI unless it is an IP address. `targets` are never empty and in the order to
    try. `delegated_to` is what the well-known document named.

    `expires_at` (UTC) is the earliest end of the lifetimes that this rests on, of a stale answer
    when it may be asked again; None if no question was asked (steps 1 and 2). `stale`: rests on
    an answer past its lifetime, because asking again failed or is slow. `degraded`: an SRV lookup
    failed and was treated as "none". `trail` holds each question with its answer; of a repeated
    answer it tells of the resolve that found it. Equality leaves out `trail` and `expires_at`.
    """

    server_name: ServerName
    step: Step
    host_header: str
    tls_name: str
    targets: tuple[Target, ...]
    # Kept as they take least memory: a text, Unix seconds, and packed.
    _delegated_to: ServerName | str | None = field(
        default=None, eq=_as_text, repr=False, alias="delegated_to"
    )
    _expires_at: datetime | float | None = field(
        default=None, eq=False, repr=False, alias="expires_at"
    )
    stale: bool = False
    degraded: bool = False
    _trail: tuple[TrailEntry, ...] | bytes = field(default=(), eq=False, repr=False, alias="trail")

    @property
    def delegated_to(self) -> ServerName | None:
        """What the well-known document named, None without one that is of use."""
        to = self._delegated_to
        return ServerName.parse(to) if isinstance(to, str) else to

    @property
    def expires_at(self) -> datetime | None:
        """The moment (UTC) at which something that this rests on may be asked again."""
        at = self._expires_at
        return datetime.fromtimestamp(at, UTC) if isinstance(at, float | int) else at

    @property
    def trail(self) -> tuple[TrailEntry, ...]:
        """Each question with its answer, in the order in which they were asked."""
        if not isinstance(self._trail, bytes):
            return self._trail
        keys, rows = unpack(self._trail)
        return tuple(trail_of(keys.split(), unpack(rows)))

    def with_targets(self, targets: tuple[Target, ...]) -> "Resolution":
        """Return the same with other targets. (`attrs.evolve` takes three times as long.)"""
        return Resolution(
            server_name=self.server_name,
            step=self.step,
            host_header=self.host_header,
            tls_name=self.tls_name,
            targets=targets,
            delegated_to=self._delegated_to,
            expires_at=self._expires_at,
            stale=self.stale,
            degraded=self.degraded,
            trail=self._trail,
        )

    def __str__(self) -> str:
        targets = ", ".join(map(str, self.targets))
        flags = "".join(f", {flag}" for flag in ("stale", "degraded") if getattr(self, flag))
        return (
            f"{self.server_name}: connect to {targets}, Host {self.host_header}, "
            f"certificate for {self.tls_name} (step {self.step.value}{flags})"
        )

    def explain(self) -> str:
        """Return the readable story, several lines: each step, why it was passed over or taken."""
        steps = story(self.server_name, self.delegated_to, self.step.value, self.trail)
        lines = [
            str(self.server_name),
            *story_lines(steps),
            f"  connect to  {', '.join(map(str, self.targets))}",
            f"  Host        {self.host_header}",
            f"  certificate {self.tls_name}",
        ]
        if self.stale:
            lines.append("  stale: rests on an answer past its lifetime")
        if self.degraded:
            lines.append("  degraded: an SRV lookup failed and was treated as no records")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return this as JSON-ready values. Keys are stable within a `"version"`."""
        return {
            "version": 1,
            "server_name": str(self.server_name),
            "step": self.step.value,
            "host_header": self.host_header,
            "tls_name": self.tls_name,
            "targets": [
                {"host": t.host, "port": t.port, "priority": t.priority, "weight": t.weight}
                for t in self.targets
            ],
            "delegated_to": None if self.delegated_to is None else str(self.delegated_to),
            "expires_at": None if self.expires_at is None else self.expires_at.isoformat(),
            "stale": self.stale,
            "degraded": self.degraded,
            "trail": [
                {
                    "question": entry.question.key,
                    "answer": answer_to_dict(entry.answer),
                    "from_cache": entry.from_cache,
                    "duration": round(entry.duration, 6),
                    "kept_for": round(entry.kept_for, 3),
                    "stale": entry.stale,
                    "failure": entry.failure,
                }
                for entry in self.trail
            ],
        }
