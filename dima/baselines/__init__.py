"""Methods of other authors: the real HARL where its wheel can be driven, each behind the same `Learner`
interface.
"""
