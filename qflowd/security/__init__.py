"""Who may do what: tokens, roles, origins. Pure but for the file of the server's key."""
