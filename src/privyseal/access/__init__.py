"""Who is calling, and may they. Decisions are pure functions; nothing is allowed by default."""
