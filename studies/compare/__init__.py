"""The comparison of transform domains: what is run, what is measured, and what the numbers say."""
