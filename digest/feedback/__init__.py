"""What providers and readers report about mails, and what follows from it."""
