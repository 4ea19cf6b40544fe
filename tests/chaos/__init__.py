"""`python -m tests.chaos`: send a day while everything that can die does, and count at the other end."""
