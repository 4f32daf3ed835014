"""What the tests prove: one-line faults (`*.yaml`), each of which the tests that it names must catch. `python
-m tests.mutants`."""
