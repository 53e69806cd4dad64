"""AnoGen: what a defect type looks like is learned from a few real ones, and drawn in boxes on good images."""
