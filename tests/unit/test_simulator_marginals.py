"""Marginal numbers and curves of shops."""

import json
import sys

import pandas as pd
import pytest

from tools.docs import simulator_marginals
from tools.docs.simulator_marginals import PARTS, marginals, table

RETAILROCKET = """\
user_id,item_id,event,ts
1,10,view,1430611200
1,10,addtocart,1430611260
1,10,transaction,1430611320
1,11,view,1430618520
1,11,view,1430870400
2,10,view,1430611200
3,10,transaction,1430784000
3,12,view,1430784060
"""
"""Customers 1 and 3 buy; 1 has two visits on the first day and one three days later."""


@pytest.fixture
def public(tmp_path, monkeypatch) -> dict:
    file = tmp_path / "events.csv"
    file.write_text(RETAILROCKET)
    monkeypatch.setattr(simulator_marginals, "PUBLIC", tmp_path / "public.json")
    monkeypatch.setattr(sys, "argv", ["simulator_marginals", "--retailrocket", str(file)])
    simulator_marginals.main()
    return json.loads((tmp_path / "public.json").read_text())


def test_only_marginals_of_a_public_file_are_written(public):
    shop = public["Retailrocket"]
    assert shop["about"] == "8 events of 3 customers"
    numbers = shop["numbers"]
    assert numbers["buyers: carts a purchase"] == "0.5"
    assert numbers["buyers: views, share of events"] == "0.571"
    assert numbers["buyers: sessions an active day"] == "1.3"  # four visits on three days
    assert numbers["buyers: days between active days: mean, p50, p90"] == "3.0, 3, 3"
    assert numbers["buyers: events each: mean, p50, p90, p99"] == "3.5, 4, 5, 5"
    assert "price: p5, p50, p95" not in numbers
    assert shop["curves"]["events a buyer"] == [[2.0, 5.0], [1.0, 0.5]]
    assert shop["curves"]["products"][1][-1] == 1


def test_the_table_has_a_column_for_each_shop(public):
    events = pd.DataFrame(
        {
            "customer_id": ["a", "a", "a"],
            "session_id": ["s", "s", "t"],
            "event_type": ["view", "cart", "purchase"],
            "product_id": ["p", "p", "p"],
            "price": [1.0, 1.0, 1.0],
            "occurred_at": pd.to_datetime(["2026-01-01", "2026-01-01", "2026-01-03"], utc=True),
        }
    )
    lines = table(public | {"simulated": marginals(events, PARTS)}).split("\n")
    assert lines[0] == "| | Retailrocket | simulated |"
    assert "| sessions that buy | – | 0.500 |" in lines
    assert "| buyers: carts a purchase | 0.5 | 1.0 |" in lines
