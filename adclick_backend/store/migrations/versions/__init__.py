"""One migration a file, named by the schema it makes. What was released is never edited."""
