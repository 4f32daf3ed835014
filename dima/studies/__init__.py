"""Studies of a trained world model: prediction error, gain of each agent's action, calibration, frames."""
