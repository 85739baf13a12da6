"""Who may be read, known and kept: consent, identity, erasure, export, retention."""
