"""The public pages, asked as a visitor's browser asks."""
