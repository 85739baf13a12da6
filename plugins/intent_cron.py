"""When a cron expression is due by the clocks of a shop, which are changed now and then.

Cron counts by the clock on the wall. Three rules make every time of a day come once:

- a time that the clocks skip is due at the moment they skip it;
- a time that comes twice is due the first time;
- what is due on a day is due within it: not before the day begins, not after it ends.

So later times of the wall are never due before earlier ones. Days that a zone leaves out, because
it moves to the other side of the date line, are none.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from croniter import croniter

from intent_tasks.definition import Definition

_MINUTE = timedelta(minutes=1)
_REACH = timedelta(hours=26)
"""More than the clock on the wall and the moment something is due are ever apart."""


class Clock:
    """The moments at which something is due.

    Args:
        expression: five fields of cron, read in the zone.
        time_zone: IANA name.
        before: cron of what follows every day, or nothing. Both at one time of the day, this one
            earlier: then it is due at least as long before as it is on days without a change.
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
        """Return the first moment (UTC) after this one at which it is due."""
        return next(due for due in self._due(moment, forward=True) if due > moment)

    def preceding(self, moment: datetime) -> datetime:
        """Return the last moment (UTC) before this one at which it was due."""
        return next(due for due in self._due(moment, forward=False) if due < moment)

    def _due(self, moment: datetime, *, forward: bool) -> Iterator[datetime]:
        wall = moment.astimezone(self._zone).replace(tzinfo=None)
        cron = croniter(self.expression, wall - _REACH if forward else wall + _REACH)
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
        """Return the first moment at which the clocks show this time, or skip it."""
        early, late = (wall.replace(tzinfo=self._zone, fold=f).astimezone(UTC) for f in (1, 0))
        if late <= early:  # the clocks do not skip it
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
    """Return how long after midnight a cron is due that is so once on a day."""
    minutes, hours = croniter(expression).expanded[:2]
    if len(minutes) == len(hours) == 1 and "*" not in (minutes[0], hours[0]):
        return timedelta(hours=hours[0], minutes=minutes[0])
    return None
