"""Evidence maps: what a network is shown of an image, its references, its clicks and the previous mask."""
