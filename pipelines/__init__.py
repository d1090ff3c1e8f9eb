"""How stages are wired."""
