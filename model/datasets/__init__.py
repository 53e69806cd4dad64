"""Data sets on disk, in the layout that MVTec AD introduced."""
