"""Plan, compose and send digests, each at most once, and account for every reader."""
