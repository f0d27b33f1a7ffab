"""What a reader says: the words of the cells, the runner of the book, the command line."""
