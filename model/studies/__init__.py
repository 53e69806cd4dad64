"""Ablations and studies: what each part is worth."""
