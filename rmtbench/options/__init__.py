"""What a user can set, declared once: a family a file, a field an option. Flags, YAML keys, checks and docs follow."""
