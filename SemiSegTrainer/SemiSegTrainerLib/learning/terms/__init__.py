"""The loss terms. Each file holds one family; a method is a list of them with weights."""
