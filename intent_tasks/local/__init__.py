"""One machine: embedded Postgres, local servers, and the demo that drives them."""
