"""Methods of other authors behind the same `Learner` interface; HARL's are computed by its own wheel."""

import dima.config  # noqa: F401 - it imports parameter classes from modules of this package: it comes first
