"""The deployment checklist and the security practices, evaluated from observations."""
