"""Role-based access control: roles, assignments, and what a request needs."""
