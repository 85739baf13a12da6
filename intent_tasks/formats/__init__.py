"""Files of recorded events, read into the columns of `shop.events`."""
