"""What holds something open closes itself at the end of `async with`."""

from contextlib import AsyncExitStack, suppress

import pytest

from matrix_resolve.core.closeable import Closeable, Opening


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


class House:
    """Opens a door in a frame, and counts."""

    def __init__(self, *, fails: bool = False) -> None:
        self.frame, self.fails, self.opened = Door(), fails, 0

    async def open(self, parts: AsyncExitStack) -> "FramedDoor":
        """Open the frame, and then the door."""
        self.opened += 1
        await parts.enter_async_context(self.frame)
        if self.fails:
            raise ZeroDivisionError
        return FramedDoor(parts)


class FramedDoor(Door):
    """Closes its frame after itself."""

    def __init__(self, parts: AsyncExitStack) -> None:
        self.parts = parts

    async def aclose(self) -> None:
        await super().aclose()
        await self.parts.aclose()


async def test_opened_in_a_context() -> None:
    """What is opened by `async with` is closed at its end with all its parts, after errors too."""
    house = House()
    opening = Opening(house.open)
    assert house.opened == 0
    with suppress(ZeroDivisionError):
        async with opening as door:
            assert (door.closed, house.frame.closed) == (0, 0)
            raise ZeroDivisionError
    assert (door.closed, house.frame.closed, house.opened) == (1, 1, 1)


async def test_opened_by_await() -> None:
    """What is opened by `await` stays open until it is closed, and then closes all its parts."""
    house = House()
    door = await Opening(house.open)
    assert (door.closed, house.frame.closed) == (0, 0)
    await door.aclose()
    await door.aclose()
    assert (house.frame.closed, house.opened) == (1, 1)


async def test_what_fails_to_open_leaves_nothing_open() -> None:
    """When it can't be opened the parts that were are closed, either way."""
    house = House(fails=True)
    with pytest.raises(ZeroDivisionError):
        await Opening(house.open)
    assert house.frame.closed == 1
    with pytest.raises(ZeroDivisionError):
        await Opening(house.open).__aenter__()
    assert house.frame.closed == 2


async def test_opened_once() -> None:
    """A second time is refused, whichever way: two would share the parts."""
    house = House()
    opening = Opening(house.open)
    async with await opening:
        with pytest.raises(RuntimeError, match="opened already"):
            await opening
        with pytest.raises(RuntimeError, match="opened already"):
            async with opening:
                raise AssertionError
    assert (house.opened, house.frame.closed) == (1, 1)
