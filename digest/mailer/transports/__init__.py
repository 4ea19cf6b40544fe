"""Ways to send a mail: files, SMTP, SendGrid."""
