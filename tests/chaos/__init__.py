"""`python -m tests.chaos`: send an edition while workers and servers fail, and count at the provider."""
