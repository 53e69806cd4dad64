"""InvAD: feature inversion, which makes an image's features anew from what is normal (Zhang et al., COCO-AD, 2024)."""
