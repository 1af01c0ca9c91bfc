"""The key holder. `process` runs alone and is the only place where a private key exists; `client` reaches it."""
