"""The control room: what an editor and an operator see and do."""
