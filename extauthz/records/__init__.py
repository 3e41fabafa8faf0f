"""What stands in decision records: the shape of a line, and reading it back."""
