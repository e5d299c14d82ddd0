"""HTTP-dates: the three forms of RFC 9110, 5.6.7, and nothing else."""

import re
from datetime import UTC, datetime

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = "Mon|Tue|Wed|Thu|Fri|Sat|Sun"
_LONG_DAYS = "Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday"
_MONTH = f"(?P<month>{'|'.join(_MONTHS)})"
_TIME = r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
# A cache matches letters of either case (RFC 9111, 4.2); zones other than GMT are none.
_FORMS = tuple(
    re.compile(form, re.ASCII | re.IGNORECASE)
    for form in (
        # IMF-fixdate: Sun, 06 Nov 1994 08:49:37 GMT
        rf"(?:{_DAYS}), (?P<day>[0-9]{{2}}) {_MONTH} (?P<year>[0-9]{{4}}) {_TIME} GMT",
        # rfc850-date: Sunday, 06-Nov-94 08:49:37 GMT
        rf"(?:{_LONG_DAYS}), (?P<day>[0-9]{{2}})-{_MONTH}-(?P<year>[0-9]{{2}}) {_TIME} GMT",
        # asctime-date: Sun Nov  6 08:49:37 1994
        rf"(?:{_DAYS}) {_MONTH} (?P<day>[0-9]{{2}}| [0-9]) {_TIME} (?P<year>[0-9]{{4}})",
    )
)
_LEAP_SECOND = (23, 59, 60)


def read_http_date(text: str, now: float) -> float | None:
    """Return the Unix seconds that an HTTP-date stands for, None if `text` is none.

    `now` (Unix seconds) tells the century of a year of two digits: the latest that is not more
    than 50 years ahead. The weekday's name must be one, but need not be right: only the grammar
    makes an HTTP-date.
    """
    found = next(filter(None, (form.fullmatch(text) for form in _FORMS)), None)
    if found is None:
        return None
    month = _MONTHS.index(found["month"].lower()) + 1
    day, hour, minute, second = (int(found[part]) for part in ("day", "hour", "minute", "second"))
    leap = (hour, minute, second) == _LEAP_SECOND
    try:
        year = int(found["year"])
        if len(found["year"]) == 2:
            today = datetime.fromtimestamp(now, UTC)
            latest = (today.year + 50, *today.timetuple()[1:6])
            year += latest[0] // 100 * 100
            if (year, month, day, hour, minute, second) > latest:
                year -= 100
        date = datetime(year, month, day, hour, minute, second - leap, tzinfo=UTC)
    except (ValueError, OverflowError, OSError):  # no such day or time; a clock past year 9999
        return None
    return date.timestamp() + leap
