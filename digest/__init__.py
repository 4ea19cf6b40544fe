"""Paper Round: the new papers that matter to you, each morning, and why."""
