"""What Label Studio sends: the shared parts of its bodies, and its webhooks as events."""
