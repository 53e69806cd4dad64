"""Training of the small diffusion model that paints defects."""
