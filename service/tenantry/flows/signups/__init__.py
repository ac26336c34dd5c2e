"""A signup: admitted once, limited, stored in one transaction."""
