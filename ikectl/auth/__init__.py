"""How each side proves its identity: what AUTH is computed over, and by which methods."""
