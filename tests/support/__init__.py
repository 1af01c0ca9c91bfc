"""What the tests share: real programs, started on free ports and always ended by their process id."""
