"""An answer, and how it was found."""

from attrs import frozen

from matrix_resolve.core.entries import Given


@frozen
class Found:
    """The answer to a question, and how it was found (`duration` in seconds).

    Until `settled_until` (Unix seconds) nothing would be asked.
    """

    given: Given
    settled_until: float
    from_cache: bool
    duration: float
