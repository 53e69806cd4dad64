"""A Ray cluster that long work is spread over. Nothing of Ray is imported before somebody joins one."""
