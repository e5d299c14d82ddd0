"""Which times and counts there can be, in what others have written."""

MOST_FAILURES = 10**9
"""Nobody has failed more often in a row."""

# The last second that `datetime` can hold.
_LATEST = 253402300799


def is_moment(value: object) -> bool:
    """Return whether `value` can be Unix seconds of our calendar."""
    return isinstance(value, int | float) and type(value) is not bool and 0 <= value <= _LATEST


def is_count(value: object) -> bool:
    """Return whether `value` can be a number of failures in a row."""
    return type(value) is int and 0 <= value <= MOST_FAILURES
