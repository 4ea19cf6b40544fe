"""The admin for editors and operators. `digest.urls` imports the modules that register models."""
