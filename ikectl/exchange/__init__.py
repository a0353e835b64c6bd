"""Behaviour: one small class per half of an exchange. See `table.py` for the map of the whole protocol."""
