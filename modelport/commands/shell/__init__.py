"""What commands are made of; nothing here is a command."""
