"""Every format that comes with the product, on a few rows in the shape of its source."""

import gzip
import json
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from intent_tasks.formats import files, mapping


def _read(path, name):
    batches = list(files.read(path, name))
    assert len(batches) == 1
    return batches[0]


def _rows(batch, *columns):
    return [tuple(row.values()) for row in batch.events.select(columns).to_pylist()]


def _lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_there_is_a_test_for_every_format():
    tested = {"ga4", "native", "online_retail", "rees46", "retailrocket", "segment", "snowplow"}
    in_files_of_exports = {"posthog", "shopify"}
    assert set(mapping.names()) == {*tested, *in_files_of_exports, "yoochoose"}
    assert all(mapping.load(name).about for name in mapping.names())


def test_retailrocket_as_published(tmp_path):
    path = tmp_path / "events.csv"
    path.write_text(
        "timestamp,visitorid,event,itemid,transactionid\n"
        "1433221332117,257597,view,355908,\n"
        "1433224214164,992329,transaction,248676,4000\n"
    )
    assert _rows(_read(path, "retailrocket"), "customer_id", "event_type", "occurred_at") == [
        ("257597", "view", datetime(2015, 6, 2, 5, 2, 12, 117000, tzinfo=UTC)),
        ("992329", "purchase", datetime(2015, 6, 2, 5, 50, 14, 164000, tzinfo=UTC)),
    ]


REES46 = (
    "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session\n"
    "2019-11-01 00:00:00 UTC,view,1003461,2053013555631882655,electronics.smartphone,xiaomi,489.07,"
    "520088904,4d3b30da\n"
    "2019-11-01 00:00:07 UTC,remove_from_cart,5000088,2053013566100866035,,,293.65,530496790,8e5f\n"
)


def test_rees46_tells_products_beside_events(tmp_path):
    path = tmp_path / "2019-Nov.csv.gz"
    path.write_bytes(gzip.compress(REES46.encode()))
    batch = _read(path, "rees46")
    assert _rows(batch, "customer_id", "session_id", "event_type", "price", "occurred_at") == [
        ("520088904", "4d3b30da", "view", 489.07, datetime(2019, 11, 1, tzinfo=UTC)),
        ("530496790", "8e5f", "remove", 293.65, datetime(2019, 11, 1, 0, 0, 7, tzinfo=UTC)),
    ]
    assert batch.products.select(["product_id", "category_path", "brand"]).to_pylist() == [
        {"product_id": "1003461", "category_path": "electronics.smartphone", "brand": "xiaomi"},
        {"product_id": "5000088", "category_path": "2053013566100866035", "brand": None},
    ]


def test_yoochoose_clicks_and_buys_have_no_header(tmp_path):
    clicks, buys = tmp_path / "yoochoose-clicks.dat", tmp_path / "yoochoose-buys.dat"
    clicks.write_text("1,2014-04-07T10:51:09.277Z,214536502,0\n2,2014-04-07T13:56:37.614Z,2,S\n")
    buys.write_text("420374,2014-04-06T18:44:58.314Z,214537888,12462,1\n")
    assert _rows(_read(clicks, "yoochoose"), "customer_id", "event_type", "product_id") == [
        ("1", "view", "214536502"),
        ("2", "view", "2"),
    ]
    bought = _read(buys, "yoochoose")
    assert _rows(bought, "event_type", "price", "quantity", "occurred_at") == [
        ("purchase", 12462.0, 1, datetime(2014, 4, 6, 18, 44, 58, 314000, tzinfo=UTC))
    ]
    assert bought.events["event_id"].to_pylist() == ["yoochoose-buys.dat-1"]


RETAIL = {
    "InvoiceNo": ["536365", "C536379", "A563185", "536544"],
    "StockCode": ["85123A", "D", "B", "22960"],
    "Description": ["WHITE HOLDER", "Discount", "Adjust bad debt", None],
    "Quantity": [6, -1, 1, 2],
    "InvoiceDate": ["2010-07-01 08:26:00", "2010-12-01 09:41:00"] + ["2010-12-01 14:32:00"] * 2,
    "UnitPrice": [2.55, 27.5, 11062.06, 5.0],
    "CustomerID": [17850.0, 14527.0, 12345.0, None],
    "Country": ["United Kingdom"] * 4,
}

SOLD = [
    ("17850", "purchase", 6, 2.55, datetime(2010, 7, 1, 7, 26, tzinfo=UTC)),
    ("14527", "refund", 1, 27.5, datetime(2010, 12, 1, 9, 41, tzinfo=UTC)),
]


def test_online_retail_as_parquet(tmp_path):
    path = tmp_path / "online_retail.parquet"
    pq.write_table(pa.table(RETAIL), path)
    batch = _read(path, "online_retail")
    assert _rows(batch, "customer_id", "event_type", "quantity", "price", "occurred_at") == SOLD
    assert (batch.ignored, [bad.rule for bad in batch.bad]) == (1, ["customer_id is missing"])
    assert batch.products["title"].to_pylist() == ["WHITE HOLDER", "Discount"]


def test_online_retail_as_csv(tmp_path):
    path = tmp_path / "Online Retail.csv"
    path.write_text(
        "\ufeffInvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\r\n"
        '536365,85123A,"WHITE ""HOLDER"", small",6,7/1/2010 8:26,2.55,17850,United Kingdom\r\n'
        "C536379,D,Discount,-1,12/1/2010 9:41:00,27.5,14527.0,United Kingdom\r\n"
    )
    batch = _read(path, "online_retail")
    assert _rows(batch, "customer_id", "event_type", "quantity", "price", "occurred_at") == SOLD
    assert batch.products["title"].to_pylist() == ['WHITE "HOLDER", small', "Discount"]


def _parameter(key, **value):
    kinds = ("string_value", "int_value", "float_value", "double_value")
    return {"key": key, "value": dict.fromkeys(kinds) | value}


def _ga4(name, *items, number=int, **more):
    return {
        "event_date": "20210131",
        "event_timestamp": number(1612069510766593),
        "event_name": name,
        "event_params": [
            _parameter("page_title", string_value="Shop"),
            _parameter("ga_session_id", int_value=number(661084800)),
            _parameter("currency", string_value="USD"),
        ],
        "user_pseudo_id": "1026454.4271112504",
        "device": {"category": "mobile", "web_info": {"browser": "Chrome"}},
        "traffic_source": {"medium": "organic", "name": "(organic)", "source": "google"},
        "items": list(items),
        "user_properties": [],
        **more,
    }


def _item(number, **more):
    return {
        "item_id": f"9195{number}",
        "item_name": f"Mug {number}",
        "item_brand": "Acme",
        "item_category": "Home",
        "item_category2": "Kitchen",
        "price": 14.0,
        "quantity": number,
        **more,
    }


@pytest.mark.parametrize("number", [int, str], ids=["as numbers", "as texts, as BigQuery does"])
def test_ga4_makes_an_event_of_each_item(tmp_path, number):
    rows = [
        _ga4("session_start", number=number),
        _ga4("view_item", _item(1), number=number),
        _ga4("purchase", _item(1), _item(2), number=number, user_id="u7"),
        _ga4("search", number=number),
    ]
    rows[3]["event_params"].append(_parameter("search_term", string_value="red mug"))
    batch = _read(_lines(tmp_path / "events_20210131.json", rows), "ga4")
    columns = ("event_id", "customer_id", "event_type", "product_id", "quantity", "query_text")
    view, bought, searched = (
        f"1612069510766593:{name}:1026454.4271112504:::::{item}"
        for name, item in (("view_item", "91951"), ("purchase", "91951"), ("search", ""))
    )
    assert _rows(batch, *columns) == [
        (view, "1026454.4271112504", "view", "91951", 1, None),
        (bought, "u7", "purchase", "91951", 1, None),
        (f"{bought}/1", "u7", "purchase", "91952", 2, None),
        (searched, "1026454.4271112504", "search", None, None, "red mug"),
    ]
    assert set(_rows(batch, "session_id", "currency", "channel", "device")) == {
        ("661084800", "USD", "organic", "mobile")
    }
    assert batch.events["occurred_at"][0].as_py() == datetime(
        2021, 1, 31, 5, 5, 10, 766593, tzinfo=UTC
    )
    assert (batch.ignored, batch.bad) == (1, [])
    assert batch.products["category_path"].to_pylist() == ["Home.Kitchen"] * 2


def test_ga4_as_parquet_is_the_same(tmp_path):
    rows = [_ga4("view_item", _item(1)), _ga4("purchase", _item(1), _item(2))]
    del rows[0]["user_properties"], rows[1]["user_properties"]
    lines = _lines(tmp_path / "events.json", rows)
    path = tmp_path / "events.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    drop = ["event_id"]
    assert (
        _read(path, "ga4").events.drop_columns(drop).to_pylist()
        == _read(lines, "ga4").events.drop_columns(drop).to_pylist()
    )


def _segment(number, event, **properties):
    return {
        "anonymousId": f"anonymous {number}",
        "userId": "u1" if number else None,
        "context": {"device": {"type": "ios"}, "library": {"name": "analytics.js"}},
        "event": event,
        "messageId": f"ajs-{number}",
        "properties": properties,
        "receivedAt": "2026-06-30T12:00:02.500Z",
        "timestamp": "2026-06-30T14:00:01.123+02:00",
        "type": "track",
    }


def test_segment_follows_the_ecommerce_spec(tmp_path):
    product = {"product_id": "507f", "sku": "G-32", "name": "Monopoly", "category": "Games"}
    rows = [
        _segment(0, "Product Viewed", **product, price=19, quantity=1, currency="usd", value=19),
        _segment(1, "Products Searched", query="blue hotpants"),
        _segment(
            2,
            "Order Completed",
            order_id="o1",
            total=27.5,
            products=[{**product, "price": 19, "quantity": 1}, {"sku": "G-9", "price": 3.5}],
        ),
        {"type": "page", "messageId": "ajs-3", "anonymousId": "a", "properties": {"path": "/"}},
    ]
    batch = _read(_lines(tmp_path / "1467.json", rows), "segment")
    columns = ("event_id", "customer_id", "event_type", "product_id", "price", "query_text")
    assert _rows(batch, *columns) == [
        ("ajs-0", "anonymous 0", "view", "507f", 19.0, None),
        ("ajs-1", "u1", "search", None, None, "blue hotpants"),
        ("ajs-2", "u1", "purchase", "507f", 19.0, None),
        ("ajs-2/1", "u1", "purchase", "G-9", 3.5, None),
    ]
    assert _rows(batch, "occurred_at", "ingested_at", "device")[0] == (
        datetime(2026, 6, 30, 12, 0, 1, 123000, tzinfo=UTC),
        datetime(2026, 6, 30, 12, 0, 2, 500000, tzinfo=UTC),
        "ios",
    )
    assert (batch.ignored, batch.bad) == (1, [])


ECOMMERCE = "com_snowplowanalytics_snowplow_ecommerce"


def _snowplow(number, action, *bought, **more):
    return {
        "app_id": "shop",
        "event_id": f"c6ef3124-b53a-4b13-a233-{number:012d}",
        "event_name": "snowplow_ecommerce_action" if action else "page_view",
        "collector_tstamp": "2026-06-30T12:00:02.500Z",
        "derived_tstamp": "2026-06-30T12:00:01.123Z",
        "domain_userid": "bc2e92ec6c204a14",
        "domain_sessionid": "2b15e5c8-d3b1-11e4-b9d6-1681e6b88ec1",
        "user_id": None,
        "dvce_type": "Mobile",
        "mkt_medium": "cpc",
        "geo_latitude": 37.4,
        f"unstruct_event_{ECOMMERCE}_snowplow_ecommerce_action_1": action and {"type": action},
        f"contexts_{ECOMMERCE}_product_1": list(bought),
        **more,
    }


def test_snowplow_takes_the_ecommerce_actions(tmp_path):
    shoe = {"id": "P125", "name": "Shoe", "category": "men/shoes", "price": 99.5, "currency": "EUR"}
    search = {"terms": ["red", "shoe"], "filters": {"size": 43}}
    rows = [
        _snowplow(1, "product_view", shoe),
        _snowplow(2, "transaction", {**shoe, "quantity": 2}, {**shoe, "id": "P9"}),
        _snowplow(3, "checkout_step"),
        _snowplow(4, None),
        _snowplow(5, None)
        | {
            "event_name": "site_search",
            "unstruct_event_com_snowplowanalytics_snowplow_site_search_1": search,
        },
    ]
    batch = _read(_lines(tmp_path / "enriched.jsonl", rows), "snowplow")
    columns = ("event_type", "customer_id", "product_id", "quantity", "price", "query_text")
    visitor = "bc2e92ec6c204a14"
    assert _rows(batch, *columns) == [
        ("view", visitor, "P125", None, 99.5, None),
        ("purchase", visitor, "P125", 2, 99.5, None),
        ("purchase", visitor, "P9", None, 99.5, None),
        ("search", visitor, None, None, None, "red shoe"),
    ]
    assert [i[-3:] for i in batch.events["event_id"].to_pylist()] == ["001", "002", "2/1", "005"]
    assert batch.ignored == 2
    assert batch.products["title"].to_pylist() == ["Shoe", "Shoe"]
