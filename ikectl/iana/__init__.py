"""Numbers assigned by IANA, one file per registry family; nothing but numbers and their names."""
