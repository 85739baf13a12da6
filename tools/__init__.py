"""Programs for those who work on this project; nothing that is installed imports them."""
