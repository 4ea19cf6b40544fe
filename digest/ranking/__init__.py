"""Score candidates, and choose what each reader gets."""
