"""State that is this process's alone, for what need not, or cannot, be shared. Must stay out: anything that has to outlive the process."""
