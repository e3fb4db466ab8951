"""Faults that trainings must survive: what is trained, what is done to it, and how its end is judged."""
