"""Your jobs: every module in this folder is imported when a process starts that may run them."""
