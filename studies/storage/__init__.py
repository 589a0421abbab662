"""Where studies keep results and unfinished work, and the processes that share the work."""
