"""The processes of jobs: trainings, and predictions pushed to Label Studio."""
