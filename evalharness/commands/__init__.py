"""What each command does: arguments to the functions above, results to stdout."""
