"""The words of defect types: text encoders, prompts, and the attention of pixels to words."""
