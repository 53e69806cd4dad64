"""Checkpoints: weights as safetensors, each with a manifest that says what they are."""
