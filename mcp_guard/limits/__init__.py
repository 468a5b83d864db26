"""What stops a call that policy would let through: today, an operator's freeze."""
