"""``make soak``: a bad day played to a real server, and what the people who worked that day saw of it."""
