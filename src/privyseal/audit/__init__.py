"""Events, and how they become durable before an answer leaves."""
