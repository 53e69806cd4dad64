"""Labelled images, and weak labels from clicked masks, boxes and tags."""
