"""A detector behind HTTP; the rules for who may call are the backend's as well."""
