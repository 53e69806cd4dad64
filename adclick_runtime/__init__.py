"""A trained detector on the line: an image in, regions out, without torch and without Label Studio.

What the backend computes from maps, it computes with the same files; they import numpy and OpenCV only.
"""

__version__ = "0.1.0"
