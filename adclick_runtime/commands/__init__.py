"""The commands of `adclick-detect`."""
