"""Whatever holds something open until it is closed."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Generator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from types import TracebackType
from typing import Any, Generic, Self, TypeVar


class Closeable(ABC):
    """Closes itself at the end of `async with`. A subclass says how, in `aclose()`."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    @abstractmethod
    async def aclose(self) -> None:
        """Close what is open; idempotent."""


_C = TypeVar("_C", bound=Closeable)


class Opening(AbstractAsyncContextManager[_C], Generic[_C]):
    """What opens something, once, in either of two ways.

    async with open_it() as opened: ...  # closed at the end

    opened = await open_it()
    ...
    await opened.aclose()
    """

    def __init__(self, make: Callable[[AsyncExitStack], Awaitable[_C]]) -> None:
        """`make` enters what it opens into a stack; `aclose()` of what it gives closes that too."""
        self._make = make
        self._is_used = False
        self._opened: _C

    def __await__(self) -> Generator[Any, None, _C]:
        return self._open().__await__()

    async def __aenter__(self) -> _C:
        self._opened = await self._open()
        return self._opened

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._opened.aclose()

    async def _open(self) -> _C:
        if self._is_used:
            raise RuntimeError("this has been opened already: call the function that opens again")
        self._is_used = True
        parts = AsyncExitStack()
        try:
            return await self._make(parts)
        except BaseException:
            await parts.aclose()
            raise
