"""Papers that readers ask for: submissions, pending papers, reading lists."""
