"""Privacy: consent, erasure, export, retention and the rotation of the identity key."""
