"""MAMBA on continuous actions: a recurrent world model of discrete latent states with agent attention."""
