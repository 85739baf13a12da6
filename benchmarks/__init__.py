"""One file a measured claim; each says its claim and its command."""
