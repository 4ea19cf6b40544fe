"""Room 4: what became of a mail, and what it teaches us."""
