"""What a person types, one module per group. Each command imports what it runs when it runs."""
