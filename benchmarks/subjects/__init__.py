"""The networks, signals and methods that benchmarks run on."""
