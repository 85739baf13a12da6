"""Evaluate cron expressions in a time zone with daylight saving time.

Cron uses local time. Three rules make each local time occur once a day:

- a local time that is skipped is due at the moment of the change;
- a local time that occurs twice is due the first time;
- a time of a day is never due before the day begins or after it ends.

So the order of local times is kept. Days that a zone skips, because it moves across the date line,
do not exist.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from croniter import croniter

from intent_tasks.definition import Definition

_MINUTE = timedelta(minutes=1)
_MAX_SHIFT = timedelta(hours=26)
"""Greater than any difference between a local time and the moment at which it is due."""


class Clock:
    """The moments at which a cron expression is due.

    Args:
        expression: five fields of cron, read in the zone.
        time_zone: IANA name.
        before: cron of a later task of the day, or empty. If both have one fixed time a day, the
            distance between them is never shorter than on a day without a change.
    """

    def __init__(self, expression: str, time_zone: str, before: str = "") -> None:
        self.expression = expression
        self.time_zone = time_zone
        self.before = before
        self._zone = ZoneInfo(time_zone)
        self._days = Definition(time_zone)
        self._follower = _time_of_day(before) if before else None
        own = _time_of_day(expression)
        lead = own is not None and self._follower is not None and self._follower - own
        self._lead = lead if lead and lead > timedelta() else None

    def following(self, moment: datetime) -> datetime:
        """Return the first due moment (UTC) after a moment."""
        return next(due for due in self._due(moment, forward=True) if due > moment)

    def preceding(self, moment: datetime) -> datetime:
        """Return the last due moment (UTC) before a moment."""
        return next(due for due in self._due(moment, forward=False) if due < moment)

    def _due(self, moment: datetime, *, forward: bool) -> Iterator[datetime]:
        wall = moment.astimezone(self._zone).replace(tzinfo=None)
        start = wall - _MAX_SHIFT if forward else wall + _MAX_SHIFT
        cron = croniter(self.expression, start)
        step = cron.get_next if forward else cron.get_prev
        while True:
            wall = step(datetime)
            if self._days.is_day(wall.date()):
                yield self._moment_of(wall)

    def _moment_of(self, wall: datetime) -> datetime:
        moment = self._within_day(wall)
        if self._lead is None or self._follower is None:
            return moment
        follower = datetime.combine(wall.date(), time()) + self._follower
        return min(moment, self._within_day(follower) - self._lead)

    def _within_day(self, wall: datetime) -> datetime:
        day: date = wall.date()
        latest = self._days.day_end(day) - _MINUTE
        return max(self._days.day_start(day), min(self._first(wall), latest))

    def _first(self, wall: datetime) -> datetime:
        """Return the first moment of a local time, or the moment at which it is skipped."""
        early, late = (wall.replace(tzinfo=self._zone, fold=f).astimezone(UTC) for f in (1, 0))
        if late <= early:  # it is not skipped
            return late
        offset = early.astimezone(self._zone).utcoffset()
        while late - early > timedelta(seconds=1):
            middle = early + (late - early) / 2
            if middle.astimezone(self._zone).utcoffset() == offset:
                early = middle
            else:
                late = middle
        return late.replace(microsecond=0)


def _time_of_day(expression: str) -> timedelta | None:
    """Return the time after midnight of a cron that is due once a day; else None."""
    minutes, hours = croniter(expression).expanded[:2]
    if len(minutes) == len(hours) == 1 and "*" not in (minutes[0], hours[0]):
        return timedelta(hours=hours[0], minutes=minutes[0])
    return None
