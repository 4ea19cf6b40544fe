"""Who a person is, and whether we may mail them. Knows nothing of papers."""
