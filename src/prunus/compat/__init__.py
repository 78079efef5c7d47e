"""For users of tools that are no more: their calls and commands, carried out by prunus."""
