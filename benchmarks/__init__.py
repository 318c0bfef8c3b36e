"""What is timed, and against whom; never part of the tests."""
