"""What is taken along: labels in the layouts that other tools read."""
