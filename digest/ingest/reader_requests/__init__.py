"""Papers that readers request: submissions, pending papers and reading lists."""
