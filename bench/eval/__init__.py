"""What judging answers costs, and what the usual way of running them costs."""
