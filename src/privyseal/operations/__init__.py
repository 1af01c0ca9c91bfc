"""The story: one file per use case. Each reads as its steps, and none knows of HTTP or of words on a terminal."""
