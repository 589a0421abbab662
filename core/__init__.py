"""What every room uses: registry, argument checks, torch's global state, precision, files and progress."""
