"""What studies found in trained world models, over the seeds of a method, in numbers."""
