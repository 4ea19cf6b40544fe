"""One module per source of listings: `fetch()` and `parse()`."""
