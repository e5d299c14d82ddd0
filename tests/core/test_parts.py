"""What is wrong with a part is said when it is given."""

from typing import Any

import pytest

from matrix_resolve.core.parts import check_awaitable, check_part, check_reply, check_type


class Door:
    """A part with one method, and something that is none."""

    handle = "brass"

    def open(self) -> None:
        """Do what is wanted."""


class Hinges:
    """A part that lends its methods from elsewhere."""

    def __getattr__(self, name: str) -> Any:
        return print


WRONG = [
    (Door, ("open",), "door is the class Door: an instance of it is wanted"),
    (object(), ("open",), "door: object has no method open()"),
    (None, ("open",), "door: NoneType has no method open()"),
    (Door(), ("open", "close"), "door: Door has no method close()"),
    (Door(), ("handle",), "door: Door has no method handle()"),
]


@pytest.mark.parametrize(("part", "methods", "told"), WRONG)
def test_parts_that_are_none(part: object, methods: tuple[str, ...], told: str) -> None:
    """The error names the argument, and the class or the method."""
    with pytest.raises(TypeError) as caught:
        check_part("door", part, *methods)
    assert str(caught.value) == told


def test_good_parts() -> None:
    """Whatever has the methods will do, wherever it has them from."""
    check_part("door", Door(), "open")
    check_part("door", Hinges(), "open", "close")


@pytest.mark.parametrize(
    ("value", "hint", "told"),
    [
        ("3", "", "size must be of type int, not str"),
        ("3", "give int(size)", "size must be of type int, not str; give int(size)"),
        (int, "", "size must be of type int, not the class int"),
        (None, "", "size must be of type int, not NoneType"),
    ],
)
def test_values_of_another_type(value: object, hint: str, told: str) -> None:
    """The error says what is wanted and what was given, not the value: that may be a stranger's."""
    with pytest.raises(TypeError) as caught:
        check_type("size", value, int, hint)
    assert str(caught.value) == told
    check_type("size", 3, int)


async def test_what_methods_return() -> None:
    """A reply that is none is told with the class, its method and what that returned."""

    async def three() -> int:
        return 3

    assert await check_awaitable(Door(), "open", three()) == 3
    assert check_reply(Door(), "open", 3, int) == 3
    with pytest.raises(
        TypeError, match=r"^Door\.open\(\) returned int: it must be an async method$"
    ):
        check_awaitable(Door(), "open", 3)  # type: ignore[arg-type]
    for reply, told in ((None, "None"), ("3", "str")):
        with pytest.raises(TypeError, match=rf"^Door\.open\(\) returned {told}, not int$"):
            check_reply(Door(), "open", reply, int)
