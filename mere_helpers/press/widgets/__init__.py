"""What a reader sees of work that goes on: panels, logs, lines."""
