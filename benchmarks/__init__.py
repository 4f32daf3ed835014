"""Measurements that anyone can repeat; what they gave once stands under evidence/."""
