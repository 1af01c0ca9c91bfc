"""What an operator sees of the processes: metrics, logs, and words to systemd. Nothing here knows what an HSM is."""
