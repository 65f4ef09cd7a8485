"""Cost books: what each operation costs, its source and its uncertainty."""
