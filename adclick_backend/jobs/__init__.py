"""The queue of long work, and the thread that runs each job in a process of its own."""
