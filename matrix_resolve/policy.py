"""Every number that shapes a resolution, each with its reason."""

from typing import Literal

from attrs import Attribute, field, frozen

_MINUTE = 60.0
_HOUR = 60 * _MINUTE
# More is a slip of the pen, and would run past what a date can hold.
_TEN_YEARS = 10 * 365 * 24 * _HOUR
# More than any memory holds; a slip of the pen as well.
_MOST = 10**12


def check_count(name: str, value: object, *, least: int = 1) -> None:
    """Raise `TypeError` unless `value` is an `int`, `ValueError` if it can be no count."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an int: {value!r}")
    if not least <= value <= _MOST:
        raise ValueError(f"{name} must be from {least} to {_MOST}: {value!r}")


def _number(name: str, value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"{name} must be an int or a float: {value!r}")
    return value


def _not_negative(instance: object, attribute: "Attribute[float]", value: object) -> None:
    if not 0 <= _number(attribute.name, value) <= _TEN_YEARS:
        raise ValueError(f"{attribute.name} must be from 0 to ten years: {value!r}")


def _positive(instance: object, attribute: "Attribute[float]", value: object) -> None:
    if not 0 < _number(attribute.name, value) <= _TEN_YEARS:
        raise ValueError(f"{attribute.name} must be above 0, and ten years at most: {value!r}")


def _at_least_one(instance: object, attribute: "Attribute[int]", value: object) -> None:
    check_count(attribute.name, value)


def _at_least_none(instance: object, attribute: "Attribute[int]", value: object) -> None:
    check_count(attribute.name, value, least=0)


def _fraction(instance: object, attribute: "Attribute[float]", value: object) -> None:
    if not 0 <= _number(attribute.name, value) < 1:
        raise ValueError(f"{attribute.name} must be at least 0 and below 1: {value!r}")


def _flag(instance: object, attribute: "Attribute[bool]", value: object) -> None:
    if not isinstance(value, bool):
        raise TypeError(f"{attribute.name} must be True or False: {value!r}")


def _srv_failure(instance: object, attribute: "Attribute[SrvFailurePolicy]", value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(f"srv_failure must be a string: {value!r}")
    if value not in ("fallback", "raise"):
        raise ValueError(f'srv_failure must be "fallback" or "raise": {value!r}')


SrvFailurePolicy = Literal["fallback", "raise"]


@frozen
class Backoff:
    """Waits that double with every failure in a row, from `least` to `most` seconds."""

    least: float
    most: float

    def after(self, failures: int) -> float:
        """Return the seconds to wait after so many `failures` in a row (the first is 1)."""
        # A float's exponent is bounded; a row of failures is not.
        return min(self.most, self.least * 2.0 ** min(max(failures - 1, 0), 64))


@frozen(kw_only=True)
class Policy:
    """How long answers live, how long to wait, how much to accept. Times are in seconds.

        open_resolver(policy=Policy(dns_timeout=3.0, stale_for=0))

    `Policy()` is right for a homeserver. Each field's reason stands under it. A value of another
    type is a `TypeError` when the policy is made, one that makes no sense a `ValueError`.
    """

    well_known_default_ttl: float = field(default=24 * _HOUR, validator=_not_negative)
    """Lifetime of a document whose response says nothing; the specification's own 24 h."""
    well_known_min_ttl: float = field(default=5 * _MINUTE, validator=_not_negative)
    """Least lifetime of a document: a `no-store` must not mean a fetch for every request."""
    well_known_max_ttl: float = field(default=48 * _HOUR, validator=_not_negative)
    """Most: the specification's 48 h, so that a mistyped lifetime does not last for months."""

    failure_min_ttl: float = field(default=_MINUTE, validator=_positive)
    """How long the first failed fetch is remembered; doubles from here with every further one."""
    failure_max_ttl: float = field(default=_HOUR, validator=_positive)
    """The most that a failure is remembered: the specification's hour."""

    stale_for: float = field(default=24 * _HOUR, validator=_not_negative)
    """How long a good answer is kept past its lifetime while asking again fails (RFC 8767)."""
    stale_answer_delay: float = field(default=1.8, validator=_not_negative)
    """How long a caller waits for a refresh before a stale answer is given (RFC 8767, 5)."""
    refresh_ahead: float = field(default=0.2, validator=_fraction)
    """The last part of a lifetime in which a hit refreshes in the background."""
    jitter: float = field(default=0.1, validator=_fraction)
    """Spread of the lifetimes that we choose, so that thousands do not expire together."""

    srv_min_ttl: float = field(default=30.0, validator=_not_negative)
    """Least lifetime of SRV records: a TTL of 0 must not mean a lookup for every request."""
    srv_max_ttl: float = field(default=24 * _HOUR, validator=_not_negative)
    """Most lifetime of SRV records, against a TTL of years."""
    srv_negative_ttl: float = field(default=15 * _MINUTE, validator=_not_negative)
    """Lifetime of "no records" when the backend does not know the zone's own (RFC 2308)."""
    srv_failure: SrvFailurePolicy = field(default="fallback", validator=_srv_failure)
    """A failed SRV lookup: go on as if there were none and say `degraded`, or raise."""
    srv_failure_min_ttl: float = field(default=5.0, validator=_positive)
    """How long a failed lookup is remembered, doubling: our own DNS recovers soon (RFC 9520)."""
    srv_failure_max_ttl: float = field(default=60.0, validator=_positive)
    """The most that a failed lookup is remembered."""
    legacy_srv: bool = field(default=True, validator=_flag)
    """Ask the deprecated `_matrix._tcp` too (steps 3.4 and 5): many servers publish only that."""
    srv_head_start: bool = field(default=True, validator=_flag)
    """While little is in flight, start the SRV lookups of steps 4 and 5 beside the fetch."""

    address_min_ttl: float = field(default=5.0, validator=_not_negative)
    """Least lifetime of addresses."""
    address_max_ttl: float = field(default=_HOUR, validator=_not_negative)
    """Most lifetime of addresses: a moved server is found again within it."""

    max_redirects: int = field(default=10, validator=_at_least_none)
    """Hops followed to a document; browsers stop at 20, nobody needs more than a few."""
    max_body: int = field(default=50 * 1024, validator=_at_least_one)
    """Most bytes of a document: a real one has 50 bytes."""
    max_targets: int = field(default=16, validator=_at_least_one)
    """SRV records given, and addresses of each: more than that is never tried in time."""

    well_known_timeout: float = field(default=10.0, validator=_positive)
    """A whole fetch, address lookups and redirects included."""
    well_known_connect_timeout: float = field(default=5.0, validator=_positive)
    """TCP and TLS of one hop."""
    dns_timeout: float = field(default=5.0, validator=_positive)
    """One DNS question, retries included."""

    max_well_known_fetches: int = field(default=100, validator=_at_least_one)
    """Fetches at once: a join of thousands of servers must not exhaust the descriptors.

    One that has heard nothing for a second, or is not done after two, leaves its slot to others and
    goes on; at most 400 do so.
    """
    max_dns_lookups: int = field(default=200, validator=_at_least_one)
    """DNS questions at once: recursive resolvers drop what comes faster."""

    max_answers: int = field(default=300_000, validator=_at_least_one)
    """Answers in the memory cache; a delegated name rests on three."""
    max_resolved: int = field(default=100_000, validator=_at_least_one)
    """Resolved names kept ready."""

    def __attrs_post_init__(self) -> None:
        for least, most in (
            ("well_known_min_ttl", "well_known_max_ttl"),
            ("failure_min_ttl", "failure_max_ttl"),
            ("srv_min_ttl", "srv_max_ttl"),
            ("srv_failure_min_ttl", "srv_failure_max_ttl"),
            ("address_min_ttl", "address_max_ttl"),
        ):
            if getattr(self, least) > getattr(self, most):
                raise ValueError(f"{least} is more than {most}")
