"""A MuJoCo port of four Bi-DexHands tasks.

The original's observations, actions and rewards on other contact physics.
"""
