"""Pure text functions; no Django."""
