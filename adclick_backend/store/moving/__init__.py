"""A data folder copied into a database and an object store that several machines share; the folder stays as it is."""
