"""What a job on disk needs beside its state: one run at a time."""
