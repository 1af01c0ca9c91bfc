"""The front door: routes, limits and problem documents. A handler is short: read, call one operation, write."""
