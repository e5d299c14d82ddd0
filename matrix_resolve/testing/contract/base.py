"""What all contracts share: who is collected, what is given by subclasses, how long is waited."""

import asyncio
import gc
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import pytest


class Contract:
    """The rules of one kind of plug-in.

    pytest runs the subclasses that are called `Test...`, and never a contract itself.
    """

    pytestmark: ClassVar[list[pytest.MarkDecorator]] = [pytest.mark.asyncio]

    patience: float = 10.0
    """Seconds. What is awaited should end at once; if it hangs, the test fails after so many."""

    async def ended(self, *tasks: "asyncio.Task[Any]") -> None:
        """Cancel these, as the resolver does when nobody waits any more, and see them end."""
        for task in tasks:
            task.cancel()
        _, hanging = await asyncio.wait(tasks, timeout=self.patience)
        assert not hanging, "does not end when it is cancelled"

    async def happens(self, true: Callable[[], Any]) -> None:
        """Wait for something to become true."""
        async with asyncio.timeout(self.patience):
            while not true():  # noqa: ASYNC110
                await asyncio.sleep(0.01)


def to_be_given(meaning: str) -> Any:
    """Return a fixture that a subclass has to take the place of."""

    def missing(self: Contract, request: pytest.FixtureRequest) -> None:
        pytest.fail(f"{type(self).__name__} lacks the fixture `{request.fixturename}`: {meaning}")

    return pytest.fixture(missing)


def may_be_given(meaning: str) -> Any:
    """Return a fixture that a subclass should take the place of if it can."""

    def missing(self: Contract, request: pytest.FixtureRequest) -> None:
        pytest.skip(f"{type(self).__name__} has no fixture `{request.fixturename}`: {meaning}")

    return pytest.fixture(missing)


async def steps(count: int) -> None:
    """Let other tasks go so many steps forward."""
    for _ in range(count):
        await asyncio.sleep(0)


@contextmanager
def nothing_left_open() -> Iterator[None]:
    """Fail if meanwhile something was dropped that should have been closed.

    Without this a later test would be blamed, or nobody where warnings are no errors.
    """
    gc.collect()  # what others have dropped
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        yield
        gc.collect()
    left = [str(each.message) for each in caught if issubclass(each.category, ResourceWarning)]
    assert not left, "leaves open what it had opened"
