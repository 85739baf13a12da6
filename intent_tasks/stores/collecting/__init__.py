"""Find files, load them into the shop's tables, and keep their ledger."""
