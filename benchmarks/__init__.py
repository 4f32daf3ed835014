"""Measurements that anyone can repeat; results of some runs are in evidence/."""
