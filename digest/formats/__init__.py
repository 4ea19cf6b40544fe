"""Date formats of the admin. Django reads them by language: it prefers them to settings."""
