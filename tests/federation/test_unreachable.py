"""What could not be reached lately, and until when that counts."""

import asyncio
from typing import Any

import pytest
from attrs import evolve

from matrix_resolve import ConnectError, Resolution, Step, Target
from matrix_resolve.core.names import ServerName
from matrix_resolve.federation.unreachable import Unreachable

FIRST, SECOND, THIRD = (Target(host=host, port=8448) for host in ("a.test", "b.test", "c.test"))
RESOLUTION = Resolution(
    server_name=ServerName.parse("example.org"),
    step=Step.SRV,
    host_header="example.org",
    tls_name="example.org",
    targets=(FIRST, SECOND, THIRD),
)


class Clock:
    """Stands in for asyncio, whose event loop tells the time."""

    def __init__(self) -> None:
        self.now = 1000.0

    def get_running_loop(self) -> "Clock":
        return self

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that the test moves."""
    made: Any = Clock()
    monkeypatch.setattr("matrix_resolve.federation.unreachable.asyncio", made)
    assert asyncio is not made
    return made  # type: ignore[no-any-return]


def test_targets_are_tried_last_for_a_minute(clock: Clock) -> None:
    """Then, or when one is reached, they take their places again."""
    unreachable = Unreachable()
    unreachable.put_target(RESOLUTION, FIRST)
    clock.now += 30
    unreachable.put_target(RESOLUTION, SECOND)
    assert list(unreachable.in_order(RESOLUTION)) == [THIRD, FIRST, SECOND]
    clock.now += 30
    assert list(unreachable.in_order(RESOLUTION)) == [FIRST, THIRD, SECOND]
    unreachable.delete_target(RESOLUTION, SECOND)
    assert list(unreachable.in_order(RESOLUTION)) == [FIRST, SECOND, THIRD]


def test_a_failure_is_one_of_a_certificate_name(clock: Clock) -> None:
    """For another name the same target is as good as any."""
    unreachable = Unreachable()
    unreachable.put_target(RESOLUTION, FIRST)
    other = evolve(RESOLUTION, tls_name="other.example")
    assert list(unreachable.in_order(other)) == [FIRST, SECOND, THIRD]


def test_a_dead_server_is_believed_dead_for_a_moment(clock: Clock) -> None:
    """Whatever the order of its targets; but not once it leads elsewhere."""
    unreachable = Unreachable()
    unreachable.check_server(RESOLUTION)
    error = ConnectError("example.org can't be reached", ["why"])
    unreachable.put_server(RESOLUTION, error)
    clock.now += 4.9
    turned = evolve(RESOLUTION, targets=(THIRD, FIRST, SECOND))
    with pytest.raises(ConnectError, match="can't be reached") as caught:
        unreachable.check_server(turned)
    assert caught.value.attempts == ("why",)
    assert caught.value is not error
    unreachable.check_server(evolve(RESOLUTION, targets=(FIRST, SECOND)))
    unreachable.check_server(evolve(RESOLUTION, tls_name="other.example"))
    clock.now += 0.1
    unreachable.check_server(RESOLUTION)
