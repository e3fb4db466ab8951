"""What the commands do with a config that was found right. Imported when a job begins: help and mistakes do not wait for PyTorch."""
