"""Programs that generate pages of docs/."""
