"""The learned model of the team's dynamics: denoiser, state decoder, reward and termination."""
