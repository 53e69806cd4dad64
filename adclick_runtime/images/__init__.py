"""Image files to pixels, with numpy and OpenCV alone."""
