"""The command line: words in, the client called, words out; no decisions."""

from privyseal.cli.root import main

__all__ = ["main"]
