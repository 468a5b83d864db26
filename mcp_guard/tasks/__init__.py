"""Work that outlives a process: tasks, their steps, and what carries them on."""
