"""What a resolver tells of its work, and hooks that listen."""
