"""Room 1: the world's listings become our papers."""
