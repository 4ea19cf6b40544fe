"""`python -m tests.soak`: run the whole service through seven simulated days with faults and visitors."""
