"""What things cost, with a baseline measured in the same run beside each."""
