"""What a model costs: parameters, bytes, latency, memory, and the seconds of each phase."""
