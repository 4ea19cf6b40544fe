"""Room 2: what is trending, and what each reader gets."""
