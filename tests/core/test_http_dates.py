"""HTTP-dates (RFC 9110, 5.6.7)."""

from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from matrix_resolve.core.http_caching import retry_after, stated_lifetime
from matrix_resolve.core.http_dates import read_http_date

NOW = datetime(2026, 11, 26, 4, 0, 0, tzinfo=UTC).timestamp()


def at(*parts: int) -> float:
    """Unix seconds of a date in UTC."""
    return datetime(*parts, tzinfo=UTC).timestamp()


DATES = [
    # text, what it stands for
    pytest.param("Sun, 06 Nov 1994 08:49:37 GMT", at(1994, 11, 6, 8, 49, 37), id="IMF-fixdate"),
    pytest.param("Sunday, 06-Nov-94 08:49:37 GMT", at(1994, 11, 6, 8, 49, 37), id="RFC 850"),
    pytest.param("Sun Nov  6 08:49:37 1994", at(1994, 11, 6, 8, 49, 37), id="asctime"),
    pytest.param("Wed Nov 16 08:49:37 1994", at(1994, 11, 16, 8, 49, 37), id="asctime, two digits"),
    pytest.param("Sun Nov 06 08:49:37 1994", at(1994, 11, 6, 8, 49, 37), id="asctime, a zero"),
    pytest.param("Thu, 18 Aug 2050 02:01:18 GMT", at(2050, 8, 18, 2, 1, 18), id="2050"),
    pytest.param("THU, 18 Aug 2050 02:01:18 GMT", at(2050, 8, 18, 2, 1, 18), id="THU"),
    pytest.param("Thu, 18 AUG 2050 02:01:18 GMT", at(2050, 8, 18, 2, 1, 18), id="AUG"),
    pytest.param("Thu, 18 Aug 2050 02:01:18 gMT", at(2050, 8, 18, 2, 1, 18), id="gMT"),
    pytest.param("Mon, 18 Aug 2050 02:01:18 GMT", at(2050, 8, 18, 2, 1, 18), id="wrong weekday"),
    pytest.param("Thu, 29 Feb 2024 00:00:00 GMT", at(2024, 2, 29), id="leap day"),
    pytest.param("Sat, 31 Dec 2016 23:59:60 GMT", at(2017, 1, 1), id="leap second"),
    pytest.param("Saturday, 31-Dec-16 23:59:60 GMT", at(2017, 1, 1), id="leap second, RFC 850"),
    pytest.param("Thu, 01 Jan 1970 00:00:00 GMT", 0.0, id="the epoch"),
    pytest.param("Wed, 31 Dec 1969 23:59:59 GMT", -1.0, id="before the epoch"),
    pytest.param("Fri, 31 Dec 9999 23:59:59 GMT", at(9999, 12, 31, 23, 59, 59), id="9999"),
    pytest.param("Tue, 19 Jan 2038 14:14:08 GMT", at(2038, 1, 19, 14, 14, 8), id="past 32 bits"),
]


@pytest.mark.parametrize(("text", "moment"), DATES)
def test_date(text: str, moment: float) -> None:
    """The three forms are read, letters in either case, whatever the weekday's name."""
    assert read_http_date(text, NOW) == moment


CENTURIES = [
    # now, year of two digits, year
    pytest.param(NOW, "26", 2026, id="this year"),
    pytest.param(NOW, "27", 2027, id="next year"),
    pytest.param(NOW, "75", 2075, id="49 years ahead"),
    pytest.param(NOW, "77", 1977, id="51 years ahead is the past"),
    pytest.param(NOW, "99", 1999, id="the last century"),
    pytest.param(NOW, "00", 2000, id="00"),
    pytest.param(at(1999, 6, 1), "49", 2049, id="across the turn of a century"),
    pytest.param(at(1999, 6, 1), "50", 1950, id="over 50 years across the turn"),
    pytest.param(at(2080, 6, 1), "10", 2110, id="30 years ahead in the next century"),
    pytest.param(at(2080, 6, 1), "70", 2070, id="ten years ago"),
]


@pytest.mark.parametrize(("now", "digits", "year"), CENTURIES)
def test_year_of_two_digits(now: float, digits: str, year: int) -> None:
    """A year of two digits is never more than 50 years ahead, and else the latest."""
    assert read_http_date(f"Sunday, 01-Mar-{digits} 00:00:00 GMT", now) == at(year, 3, 1)


def test_fifty_years_to_the_second() -> None:
    """What is exactly 50 years ahead is so; a second more is in the past."""
    assert read_http_date("Thursday, 26-Nov-76 04:00:00 GMT", NOW) == at(2076, 11, 26, 4)
    assert read_http_date("Thursday, 26-Nov-76 04:00:01 GMT", NOW) == at(1976, 11, 26, 4, 0, 1)


NO_DATES = [
    pytest.param("Thu, 18 Aug 2050 02:01:18 AEST", id="another zone"),
    pytest.param("Thu, 18 Aug 2050 02:01:18 UTC", id="UTC by another name"),
    pytest.param("Thu, 18 Aug 2050 02:01:18 Z", id="Z"),
    pytest.param("Thu, 18 Aug 2050 02:01:18 +0000", id="an offset"),
    pytest.param("Thu, 18 Aug 2050 02:01:18 -0000", id="an unknown offset"),
    pytest.param("Thu, 18 Aug 2050 02:01:18", id="no zone"),
    pytest.param("Thu, 18 Aug 50 02:01:18 GMT", id="year of two digits"),
    pytest.param("Thu, 18 Aug 02050 02:01:18 GMT", id="year of five digits"),
    pytest.param("Thu 18 Aug 2050 02:01:18 GMT", id="no comma"),
    pytest.param("18 Aug 2050 02:01:18 GMT", id="no weekday"),
    pytest.param("Foo, 18 Aug 2050 02:01:18 GMT", id="no such weekday"),
    pytest.param("Thursday, 18 Aug 2050 02:01:18 GMT", id="long weekday"),
    pytest.param("Thu, 18  Aug  2050 02:01:18 GMT", id="several spaces"),
    pytest.param("Thu,18 Aug 2050 02:01:18 GMT", id="no space"),
    pytest.param("Thu,\t18 Aug 2050 02:01:18 GMT", id="a tab"),
    pytest.param("Thu, 18-Aug-2050 02:01:18 GMT", id="dashes"),
    pytest.param("Thu, 18 Aug 2050 02.01.18 GMT", id="points in the time"),
    pytest.param("Thu, 18 Aug 2050 2:01:18 GMT", id="hour of one digit"),
    pytest.param("Thu, 18 Aug 2050 02:01 GMT", id="no seconds"),
    pytest.param("Thu, 18 Aug 2050 02:01:18.5 GMT", id="a fraction"),
    pytest.param("Mon, 8 Aug 2050 02:01:18 GMT", id="day of one digit"),
    pytest.param("Thu, 18 August 2050 02:01:18 GMT", id="long month"),
    pytest.param("Thu, 18 08 2050 02:01:18 GMT", id="month by number"),
    pytest.param("Thu, Aug 18 2050 02:01:18 GMT", id="month first"),
    pytest.param("Thu, 18 Aug 2050 02:01:18 GMT GMT", id="more behind it"),
    pytest.param("Thu, 18 Aug 2050 02:01:18 GMT, 5", id="a list"),
    pytest.param("Thu, 18 Aug 2050 02:01:18 GMT\n", id="a newline"),
    pytest.param(" Thu, 18 Aug 2050 02:01:18 GMT", id="a space before it"),
    pytest.param("Thu, １８ Aug 2050 02:01:18 GMT", id="full-width digits"),
    pytest.param("Thu, 18 Auſ 2050 02:01:18 GMT", id="a letter that folds to ASCII"),
    pytest.param("Thu, 00 Aug 2050 02:01:18 GMT", id="day 0"),
    pytest.param("Thu, 32 Aug 2050 02:01:18 GMT", id="day 32"),
    pytest.param("Thu, 30 Feb 2050 02:01:18 GMT", id="30 February"),
    pytest.param("Thu, 18 Aug 0000 02:01:18 GMT", id="year 0"),
    pytest.param("Thu, 18 Aug 2050 24:00:00 GMT", id="hour 24"),
    pytest.param("Thu, 18 Aug 2050 02:60:00 GMT", id="minute 60"),
    pytest.param("Thu, 18 Aug 2050 02:01:60 GMT", id="second 60 of no leap second"),
    pytest.param("Thu, 18 Aug 2050 23:59:61 GMT", id="second 61"),
    pytest.param("Thu, 18-Aug-50 02:01:18 GMT", id="RFC 850, short weekday"),
    pytest.param("Thursday, 18-Aug-2050 02:01:18 GMT", id="RFC 850, year of four digits"),
    pytest.param("Thursday, 18-Aug-50 02:01:18 EST", id="RFC 850, another zone"),
    pytest.param("Thursday, 18 Aug 50 02:01:18 GMT", id="RFC 850, spaces"),
    pytest.param("Thu Aug 8 02:01:18 2050", id="asctime, one space"),
    pytest.param("Thu Aug 18 02:01:18 2050 GMT", id="asctime with a zone"),
    pytest.param("Thu Aug 18 02:01:18 50", id="asctime, year of two digits"),
    pytest.param("2050-08-18T02:01:18Z", id="ISO 8601"),
    pytest.param("2555555555", id="Unix seconds"),
    pytest.param("0", id="0"),
    pytest.param("", id="nothing"),
]


@pytest.mark.parametrize("text", NO_DATES)
def test_no_date(text: str) -> None:
    """What is not exactly one of the three forms is no date, however clear."""
    assert read_http_date(text, NOW) is None


# A header's value has no whitespace around it.
VALUES = [row for row in NO_DATES if row.values[0] == row.values[0].strip()]


@pytest.mark.parametrize("text", VALUES)
def test_what_headers_make_of_no_date(text: str) -> None:
    """In `Expires` it means "already expired"; in `Date` and `Retry-After` there is none."""
    good = "Thu, 26 Nov 2026 04:10:00 GMT"
    assert stated_lifetime([("Expires", text)], NOW) == 0
    assert stated_lifetime([("Expires", good), ("Date", text)], NOW) == 600
    if not text.isdigit():
        assert retry_after([("Retry-After", text)], NOW) == 0


WORDS = ["Sun,", "Sunday,", "Sun", "06", " 6", "Nov", "1994", "94", "06-Nov-94", "08:49:37", "GMT"]
TEXTS = st.text() | st.lists(st.sampled_from(WORDS), max_size=7).map(" ".join)


@given(TEXTS, st.floats(-1e18, 1e18))
@example("Sunday, 06-Nov-94 08:49:37 GMT", 1e18)
@example("Sunday, 06-Nov-94 08:49:37 GMT", 253402300799.0)
def test_reading_never_raises(text: str, now: float) -> None:
    """Whatever the text and the clock, it is a date or none."""
    assert isinstance(read_http_date(text, now), float | None)


@given(st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)))
def test_what_is_written_is_read(date: datetime) -> None:
    """Every second of our calendar goes through the two forms of four digits."""
    date = date.replace(microsecond=0, tzinfo=UTC)
    names = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
    months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    day, month = names[date.weekday()], months[date.month - 1]
    clock = f"{date:%H:%M:%S}"
    fixed = f"{day}, {date.day:02} {month} {date.year:04} {clock} GMT"
    plain = f"{day} {month} {date.day:2} {clock} {date.year:04}"
    assert read_http_date(fixed, NOW) == read_http_date(plain, NOW) == date.timestamp()
