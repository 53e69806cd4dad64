"""The subcommands of ``adclick`` that have no better place."""
