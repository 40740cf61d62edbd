"""Events of users who do not exist, with a truth that is known."""
