"""The defect-free images of each project."""
