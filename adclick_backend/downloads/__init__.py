"""Images fetched over HTTP: from allowed hosts, within limits of size and time."""
