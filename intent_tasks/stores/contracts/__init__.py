"""The contract at work: measured in SQL, judged by Great Expectations, kept, and fitted."""
