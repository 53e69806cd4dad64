"""The queue of long work: trainings and pushed predictions, each in a process of its own."""
