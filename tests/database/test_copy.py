"""What goes through COPY into a table comes out of it as it was."""

from datetime import UTC, datetime

import pyarrow as pa
import pytest
import sqlalchemy as sa

from intent_tasks.stores import postgres

pytestmark = pytest.mark.database

INSTANT = pa.timestamp("us", tz="UTC")


def test_times_texts_and_lists_survive_copy_wherever_the_session_is(settings):
    times = [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC),
             datetime(2026, 3, 29, 1, 30, 0, 1, UTC), None]  # fmt: skip
    texts = ["", 'a "quoted", text\nof two lines', "Ünïcode", None]
    lists = [[1.5, -2.0], [], None, [0.1]]
    rows = pa.table({"at": pa.array(times, INSTANT), "said": texts, "numbers": lists})
    with postgres.changing(settings.pipeline_url, "test") as connection:
        connection.execute(sa.text("SET TIME ZONE 'Asia/Tokyo'"))
        connection.execute(
            sa.text("CREATE TEMPORARY TABLE kept (at timestamptz, said text, numbers float8[])")
        )
        assert postgres.copy_in(connection, "kept", rows) == 4
        connection.execute(sa.text("SET TIME ZONE 'UTC'"))
        found = connection.execute(sa.text("SELECT at, said, numbers FROM kept")).all()
    assert [tuple(row) for row in found] == list(zip(times, texts, lists, strict=True))
