"""The science of ADClick: features, references, residuals, clicks, masks. Knows nothing of HTTP or Label Studio."""
