"""What holds something open closes itself at the end of `async with`."""

import pytest

from matrix_resolve.core.closeable import Closeable


class Door(Closeable):
    """Counts how often it is closed."""

    closed = 0

    async def aclose(self) -> None:
        """Count."""
        self.closed += 1


async def test_closed_at_the_end() -> None:
    """It is given as it is, and closed once, after an error too, which comes out."""
    door = Door()
    async with door as given:
        assert given is door
        assert door.closed == 0
    assert door.closed == 1
    with pytest.raises(ZeroDivisionError):
        async with door:
            raise ZeroDivisionError
    assert door.closed == 2


def test_how_must_be_said() -> None:
    """What does not say how it is closed can't be made."""
    with pytest.raises(TypeError, match="aclose"):
        type("Window", (Closeable,), {})()
