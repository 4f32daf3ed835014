"""The bridge to Isaac Gym, which needs Python 3.8 and so a process of its own.

Not run against Isaac Gym by us.

`client`, `connection` and `fit` belong to this package. `server`, `simulation`, `probe` and `protocol` are
started as scripts by Python 3.8 and import nothing of this project but each other.
"""
