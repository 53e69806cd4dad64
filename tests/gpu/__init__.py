"""What only a machine with a GPU can say: the base preset at its full size, and the packaged networks on CUDA."""
