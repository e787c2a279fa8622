"""The deployment checklist and the security practices, judged from observations."""
