"""What is on disk and how it gets there: temporary files, journals, receipts, the last steps to a name."""
