"""Who may do what: rules, topic filters, evaluation, expectations, guardrails, diff."""
