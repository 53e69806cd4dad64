"""What people have labelled: read from Label Studio, kept, understood."""
