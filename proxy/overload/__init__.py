"""What the process is short of, and what new work is refused for it. Running answers are never touched."""
