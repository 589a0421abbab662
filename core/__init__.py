"""What needs nothing but Python and torch: specs and registries, checks of arguments, torch's global modes, files, progress."""
