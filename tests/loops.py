"""The event loops that users run."""

import asyncio
import os
from typing import Any

import pytest


def event_loops(*others: Any) -> list[Any]:
    """Return what makes asyncio's and uvloop's, as parameters of a test, and `others` between."""
    factories = [pytest.param(asyncio.new_event_loop, id="asyncio"), *others]
    try:
        import uvloop
    except ImportError:
        if os.environ.get("CI"):
            raise
        return factories
    return [*factories, pytest.param(uvloop.new_event_loop, id="uvloop")]
