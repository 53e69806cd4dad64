"""The report of ``adclick evaluate``: what is seen in labelled images, measured, and written as one HTML file."""
