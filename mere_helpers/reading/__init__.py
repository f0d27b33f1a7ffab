"""What a reader meets: the words of the cells, live progress, figures, the runner of the book, the command line."""
