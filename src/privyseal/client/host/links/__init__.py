"""The links between this host and a signature, a file for each part of the way."""
