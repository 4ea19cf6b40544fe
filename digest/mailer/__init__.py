"""Room 3: a digest becomes a mail, once."""
