"""What all trainings share: state, processes, losses, simulated clicks."""
