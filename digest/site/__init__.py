"""The public pages: one module a page family."""
