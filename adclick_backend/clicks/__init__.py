"""From key points to a mask, and what was answered."""
