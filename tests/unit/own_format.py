"""Formats that a shop wrote itself, and files in them."""

import json

PLAIN = {
    "customer_id": "user.id",
    "event_type": {"constant": "view"},
    "product_id": "item",
    "price": "price",
    "occurred_at": {"field": "at", "time": "iso"},
}


def view(**changes):
    """Return a row of `PLAIN`."""
    return {"user": {"id": "u1"}, "item": 10.0, "price": 2.5, "at": "2026-06-30"} | changes


def _toml(value):
    """Return a value as TOML writes it; TOML knows JSON's texts, numbers and lists."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)


def layout(folder, events, **more):
    """Write a format of one shape to a file; return its name."""
    path = folder / "ours.toml"
    shape = "".join(f"{name} = {_toml(value)}\n" for name, value in more.items())
    path.write_text(f'about = "Ours."\n[[shapes]]\n{shape}events = {_toml(events)}\n')
    return str(path)


def lines(path, rows):
    """Write JSON lines; return their file."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
