"""The first block of a file decides whether the file is in its format: it has to be a full one."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.database.collecting import collected, events, quarantined
from tests.unit.test_skipped_rows import SHOPIFY, shopify_rows

pytestmark = pytest.mark.database


@pytest.mark.parametrize("guests", [1, 2, 5])
@pytest.mark.parametrize("first", [True, False], ids=["at the top", "at the end"])
def test_orders_of_guests_cost_no_other_order(settings, tmp_path, guests, first):
    unnamed = [shopify_rows(f"#{n}", "paid").replace("a@b.example", "") for n in range(guests)]
    orders = [*unnamed, shopify_rows("#99", "paid")]
    (tmp_path / "orders.csv").write_text(SHOPIFY + "".join(orders if first else orders[::-1]))
    counts = collected(settings, tmp_path / "orders.csv", "shopify")
    assert (counts["loaded"], counts["quarantined"]) == (2, 2 * guests)
    assert events(settings) == ["#99", "#99/1"]
    assert {rule for *_, rule in quarantined(settings)} == {"customer_id is missing"}


def test_a_small_row_group_of_unusable_rows_costs_no_other(settings, tmp_path):
    rows = [{"event_id": f"e{n}", "customer_id": f"c{n}" if n > 2 else None, "event_type": "view",
             "occurred_at": "2026-06-30T12:00:00Z"} for n in range(9)]  # fmt: skip
    table = pa.Table.from_pylist(rows)
    types = table["event_type"].dictionary_encode()
    table = table.set_column(2, "event_type", types)
    pq.write_table(table, tmp_path / "events.parquet", row_group_size=3)
    counts = collected(settings, tmp_path / "events.parquet")
    assert (counts["loaded"], counts["quarantined"]) == (6, 3)
