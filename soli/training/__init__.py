"""Training: phases, the loop, the run folder and its log."""
