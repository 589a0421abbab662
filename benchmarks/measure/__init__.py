"""Time, memory and evaluations of a job, and the checks that a benchmark measured something."""
