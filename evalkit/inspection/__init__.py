"""What is wrong with a data set, and what it can tell, before any model is loaded."""
