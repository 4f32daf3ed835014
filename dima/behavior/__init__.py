"""Learning to act inside the world model: imagination, returns, actor and critic."""
