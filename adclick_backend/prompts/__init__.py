"""The words that describe defect types."""
