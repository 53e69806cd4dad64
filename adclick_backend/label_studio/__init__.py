"""The wire to Label Studio: its API and its keys."""
