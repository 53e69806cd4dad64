"""The HTTP side: routes, bodies, authentication, and what Label Studio asks of a model."""
