"""The shop's tables on their way into snapshots, and the rows that were refused."""
