"""Which shop the demo serves is decided, and refused, before anything is begun."""

from datetime import UTC, date, datetime

import pytest

from intent_tasks import simulator
from intent_tasks.errors import BadInput, Refused
from intent_tasks.local.demo import demo
from intent_tasks.local.shop import choose_shop


@pytest.mark.parametrize(
    ("content", "layout", "message"),
    [
        (None, "retailrocket", "There is no file"),
        ("", "retailrocket", "no usable line"),
        ("a,b\n1,2\n", "retailrocket", "or it lacks user_id"),
        ("user_id,item_id,event,ts\n1,2,fly,3\n", "retailrocket", "no usable line"),
        ("user_id,item_id,event,ts\n1,2,view,1442534400\n", "rees", "no format 'rees'"),
    ],
)
def test_an_unusable_file_is_refused_before_the_state_folder_is_created(
    tmp_path, content, layout, message
):
    events, home = tmp_path / "events.csv", tmp_path / "state"
    if content is not None:
        events.write_text(content)
    with pytest.raises(BadInput, match=message):
        demo(home, events, layout, None)
    assert not home.exists()


def test_too_short_a_history_is_refused_before_the_state_folder_is_created(tmp_path):
    events, home = tmp_path / "events.csv", tmp_path / "state"
    second = int(datetime(2015, 9, 18, tzinfo=UTC).timestamp())
    lines = [f"1,2,view,{second - day * 86_400}" for day in range(57)]
    events.write_text("user_id,item_id,event,ts\n" + "\n".join(lines))
    with pytest.raises(
        Refused, match="56 complete days, 2015-07-24 to 2015-09-17; the demo needs 83"
    ):
        demo(home, events, "retailrocket", None)
    assert not home.exists()


def test_a_format_without_a_file_is_refused(tmp_path):
    with pytest.raises(BadInput, match="EVENTS="):
        demo(tmp_path / "state", None, "retailrocket", None)


@pytest.mark.parametrize(
    ("newest", "today"),
    [
        ("2015-09-18T02:51:41", date(2015, 9, 17)),
        ("2015-09-18T22:59:59", date(2015, 9, 17)),
        ("2015-09-18T23:00:00", date(2015, 9, 18)),
    ],
)
def test_the_today_of_recorded_events_is_their_last_complete_day(tmp_path, newest, today):
    events = tmp_path / "events.csv"
    second = int(datetime.fromisoformat(f"{newest}+00:00").timestamp())
    lines = [f"1,2,view,{second - 90_000}", "a broken line", f"1,2,transaction,{second}"]
    events.write_text("user_id,item_id,event,ts\n" + "\n".join(lines))
    assert choose_shop(events, "retailrocket", "UTC").last_day == today


def test_a_row_of_the_future_is_left_out_and_counted(tmp_path):
    events = tmp_path / "events.csv"
    second = int(datetime(2015, 9, 18, 23, 30, tzinfo=UTC).timestamp())
    future = int(datetime(2037, 4, 8, tzinfo=UTC).timestamp())
    events.write_text(f"user_id,item_id,event,ts\n1,2,view,{second}\n1,2,view,{future}\n")
    shop = choose_shop(events, "retailrocket", "UTC")
    assert shop.description == (
        "Shop: events.csv; its today is 2015-09-18. 1 later rows are left out."
    )


def test_the_today_of_the_simulated_shop_is_the_simulators():
    assert choose_shop(None, None, "UTC").last_day == simulator.Config().last_day


def test_the_days_of_recorded_events_are_those_of_the_time_zone_that_was_set(tmp_path, monkeypatch):
    events = tmp_path / "events.csv"
    midnights = [datetime(2015, 9, day, 22, tzinfo=UTC).timestamp() for day in (1, 2, 3)]
    lines = [f"1,2,view,{int(second)}" for second in midnights]
    events.write_text("user_id,item_id,event,ts\n" + "\n".join(lines))
    shop = choose_shop(events, "retailrocket", "Europe/Stockholm")
    assert (shop.first_day, shop.last_day) == (date(2015, 9, 2), date(2015, 9, 3))
    assert shop.calendar.time_zone == "Europe/Stockholm"
    monkeypatch.setenv("INTENT_TIME_ZONE", "Europe/Stockholm")
    with pytest.raises(Refused, match="2 complete days, 2015-09-02 to 2015-09-03"):
        demo(tmp_path / "state", events, "retailrocket", None)


def _recorded(tmp_path):
    """Write a file of events of two days; return it."""
    events = tmp_path / "events.csv"
    rows = (f"{n},c{n},view,2026-06-{29 + n % 2}T23:30:00Z\n" for n in range(4))
    events.write_text("event_id,customer_id,event_type,occurred_at\n" + "".join(rows))
    return events


def test_files_of_products_and_customers_are_loaded_with_the_events(tmp_path):
    products, customers = tmp_path / "products.csv", tmp_path / "customers.csv"
    products.write_text("product_id,title\np1,Mug\n")
    customers.write_text("customer_id,consent_marketing\nc1,yes\n")
    shop = choose_shop(_recorded(tmp_path), None, "UTC", products, customers)
    assert shop.command[-4:] == ("--products", str(products), "--customers", str(customers))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "There is no file"),
        ("", r"no usable row of customers"),
        ("name\nx\n", r"lacks customer_id"),
        ("customer_id,country\n,SE\n", r"Line 2: customer_id is missing"),
    ],
)
def test_an_invalid_file_of_customers_is_refused_before_anything_is_started(
    tmp_path, content, message
):
    customers, home = tmp_path / "customers.csv", tmp_path / "state"
    if content is not None:
        customers.write_text(content)
    with pytest.raises(BadInput, match=message):
        demo(home, _recorded(tmp_path), None, None, customers=customers)
    assert not home.exists()


def test_customers_without_events_are_no_shop(tmp_path):
    with pytest.raises(BadInput, match=r"CUSTOMERS=.* name the file of its events too, EVENTS="):
        choose_shop(None, None, "UTC", customers=tmp_path / "customers.csv")
