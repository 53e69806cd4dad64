"""From a task to masks: answers to clicks, and proposals before the first click."""
