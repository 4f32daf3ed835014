"""MAMBA on continuous actions, native: a recurrent world model of discrete latent states with attention over the agents."""
