"""What a stack file may say: models, validators, error messages."""
