"""OneNIP (Gao, ECCV 2024): one network for many products, that restores an image with the help of one good image."""
