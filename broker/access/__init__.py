"""Access: rules, topic filters, evaluation, expectations, guardrails, diff, graph."""
