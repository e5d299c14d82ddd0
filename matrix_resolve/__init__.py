"""Find where a Matrix server name leads: what to connect to, which `Host` and certificate."""
