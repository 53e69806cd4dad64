"""The wire to Label Studio: its API, its keys, connecting a project."""
