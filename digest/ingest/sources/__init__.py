"""Sources of listings: one module per source, with `fetch()` and `parse()`."""
