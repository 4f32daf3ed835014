"""A MuJoCo port of four Bi-DexHands tasks: the original's observations, actions and rewards on other contact physics."""
