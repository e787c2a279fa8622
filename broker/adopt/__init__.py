"""Convert the files of an existing broker to a stack file."""
